import LocalSGD
import NIOCore
import Tensors
import Testing

@testable import Codec

@Suite struct ConservationTests {
    /// With beta 1 what was applied and what is left are all that was learnt, however many pushes
    /// came too late; judged by the server's own rules, sent by the real codec.
    ///
    /// Updates are whole numbers from -8 to 8, so that nothing is ever rounded: a level above 1 is
    /// a multiple of 2^-4, and a code of int4 times a scale above 1/2, which has the 8 bits of
    /// bf16, one of 2^-8. So are all sums of them, and those below 2^15 have room in fp32.
    @Test(
        "T12: nothing at all is lost when the real codec's stale pushes go back into the residual",
        arguments: [Codec.topK(kept: 40), .topK(kept: 1), .int4])
    func stalePushesAreSaidAgain(codec: Codec) throws {
        let count = 300
        let workers = ["w0", "w1", "w2"]
        var numbers = Numbers(seed: 12)
        var server = ShardState(RoundSettings())
        _ = server.step(.installed(module: 0, version: 0), at: .zero)
        let opening = RoundOpening(
            round: 0, kind: .local,
            members: workers.map { RoundMember(worker: $0, incarnation: 1, isObserving: false) },
            scheduleStep: 0, retainsBase: false, isFree: true)
        _ = server.step(.opened(opening), at: .zero)
        var feedback = workers.map { _ in ErrorFeedback(count: count, beta: 1) }
        var bases: [UInt64] = [0, 0, 0]
        let (applied, learnt) = (DoubleBuffer(count: count), DoubleBuffer(count: count))
        let anchor = FloatBuffer(count: count)
        var (accepted, stale) = (0, 0)
        for turn in 0..<400 {
            // The first worker comes twice in a row, every twenty turns: once too late, once not.
            let worker = turn % 20 < 2 ? 0 : 1 + turn % 2
            let update = FloatBuffer((0..<count).map { _ in (numbers.next() * 8).rounded() })
            learnt.accumulate(update, weight: 1)
            let payload = try feedback[worker].payload(
                of: .gradient(update), round: turn, with: codec)
            let push = Contribution(
                key: PushKey(
                    worker: workers[worker], incarnation: 1, module: 0, sequence: UInt64(turn)),
                round: turn, kind: .local, baseVersion: bases[worker], steps: 1, tokens: 10,
                norm: 1, codec: "topk")
            for effect in server.step(.pushed(push, flaw: nil), at: .zero) {
                switch effect {
                case .apply:
                    try codec.accumulate(
                        payload, kind: .local, anchor: anchor, weight: 1, into: applied)
                case .answer(let outcome, _):
                    feedback[worker].settle(try #require(ErrorFeedback.Verdict(outcome)))
                    if outcome == .accepted { accepted += 1 } else { stale += 1 }
                case .merge, .report: break
                }
            }
            bases[worker] = server.version(of: 0) ?? 0
        }
        #expect(accepted > 300 && stale > 10)
        for index in 0..<count {
            let left = feedback.reduce(0) { $0 + Double($1.residual[index]) }
            #expect(applied[index] + left == learnt[index], "\(index)")
        }
    }
}
