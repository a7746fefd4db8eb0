import LocalSGD
import Testing

@Suite("Shard server's decisions without rounds")
struct ShardFlowTests {
    private static func opening(_ number: Int, _ workers: [String]) -> RoundOpening {
        RoundOpening(
            round: number, kind: .local,
            members: workers.map { RoundMember(worker: $0, incarnation: 1, isObserving: false) },
            scheduleStep: 0, retainsBase: false, isFree: true)
    }

    private static func push(
        _ worker: String, _ sequence: UInt64, base: UInt64, tokens: Int = 100, norm: Double = 1,
        verdict: Verdict = .sound, experts: [Int] = [], flaw: String? = nil
    ) -> ShardState.Event {
        .pushed(
            Contribution(
                key: PushKey(worker: worker, incarnation: 1, module: 0, sequence: sequence),
                round: Int(sequence), kind: .local, baseVersion: base, steps: 1, tokens: tokens,
                norm: norm, codec: "raw", verdict: verdict, expertTokens: experts), flaw: flaw)
    }

    private static func server(_ workers: [String], experts: Int = 0) -> ShardState {
        var state = ShardState(RoundSettings())
        _ = state.step(.installed(module: 0, version: 7, experts: experts), at: .zero)
        _ = state.step(.opened(opening(3, workers)), at: .zero)
        return state
    }

    private static func plan(_ effects: [ShardState.Effect]) -> ShardState.PushPlan? {
        for case .apply(let plan) in effects { return plan }
        return nil
    }

    private static func answer(_ effects: [ShardState.Effect]) -> PushOutcome? {
        for case .answer(let outcome, _) in effects { return outcome }
        return nil
    }

    @Test("T12: a push counts less the older its base; beyond the bound it is not applied")
    func staleness() {
        var state = Self.server(["a", "b"])
        #expect(Self.plan(state.step(Self.push("a", 1, base: 7), at: .zero))?.factor == 1)
        for sequence in 2...4 as ClosedRange<UInt64> {
            _ = state.step(Self.push("a", sequence, base: 6 + sequence), at: .zero)
        }
        // Version 11 now; from 8 it is three behind, which halves an average worker's share.
        let half = Self.plan(state.step(Self.push("b", 1, base: 8), at: .zero))
        #expect(half?.factor == 0.5)
        #expect(half?.version == 12)
        for sequence in 5...8 as ClosedRange<UInt64> {
            _ = state.step(Self.push("a", sequence, base: 7 + sequence), at: .zero)
        }
        #expect(state.version(of: 0) == 16)
        // Four versions per worker are the bound: 8 of 16 is just within, 7 is not.
        let stale = state.step(Self.push("b", 2, base: 7), at: .zero)
        #expect(Self.answer(stale) == .stale(by: 9))
        #expect(Self.plan(stale) == nil)
        let atBound = state.step(Self.push("b", 3, base: 8), at: .zero)
        #expect(Self.answer(atBound) == .accepted)
    }

    @Test("T16: a push is applied once, whatever is repeated or out of order")
    func once() {
        var state = Self.server(["a"])
        #expect(Self.plan(state.step(Self.push("a", 1, base: 7), at: .zero)) != nil)
        let again = state.step(Self.push("a", 1, base: 7), at: .zero)
        #expect(Self.answer(again) == .accepted)
        #expect(again.count == 1)
        #expect(Self.plan(state.step(Self.push("a", 2, base: 8), at: .zero)) != nil)
        let old = state.step(Self.push("a", 1, base: 7), at: .zero)
        #expect(Self.answer(old) == .late(current: 9))
        #expect(old.count == 1)
        #expect(state.version(of: 0) == 9)
    }

    @Test("Strangers, the removed, flaws and anomalies change nothing")
    func notApplied() {
        var state = Self.server(["a", "b"])
        #expect(Self.answer(state.step(Self.push("x", 1, base: 7), at: .zero)) == .notMember)
        let flawed = state.step(Self.push("a", 1, base: 7, flaw: "bad"), at: .zero)
        #expect(Self.answer(flawed) == .refused("bad"))
        let anomaly = state.step(Self.push("a", 2, base: 7, verdict: .anomaly), at: .zero)
        #expect(Self.answer(anomaly) == .accepted)
        #expect(Self.plan(anomaly) == nil)
        let ahead = state.step(Self.push("a", 3, base: 8), at: .zero)
        #expect(Self.answer(ahead)?.isRefusal == true)
        _ = state.step(.removed(worker: "b", incarnation: 1, round: 3), at: .zero)
        #expect(Self.answer(state.step(Self.push("b", 1, base: 7), at: .zero)) == .notMember)
        #expect(state.version(of: 0) == 7)
        _ = state.step(.opened(Self.opening(4, ["a", "b"])), at: .zero)
        // A repeated opening from before does not bring anybody back, or send anybody away.
        _ = state.step(.opened(Self.opening(3, ["a"])), at: .zero)
        #expect(Self.answer(state.step(Self.push("b", 2, base: 7), at: .zero)) == .accepted)
    }

    @Test("A removal that comes late does not strike who has come back since")
    func removalOfAnotherOpening() {
        var state = Self.server(["a", "b"])
        _ = state.step(.opened(Self.opening(4, ["a", "b"])), at: .zero)
        _ = state.step(.removed(worker: "b", incarnation: 1, round: 3), at: .zero)
        #expect(Self.answer(state.step(Self.push("b", 1, base: 7), at: .zero)) == .accepted)
        _ = state.step(.removed(worker: "b", incarnation: 1, round: 4), at: .zero)
        #expect(Self.answer(state.step(Self.push("b", 2, base: 8), at: .zero)) == .notMember)
    }

    @Test("A push is weighed against the last one of each live worker, its experts by their tokens")
    func weights() {
        var state = Self.server(["a", "b"], experts: 2)
        let first = Self.plan(
            state.step(Self.push("a", 1, base: 7, tokens: 300, experts: [10, 0]), at: .zero))
        // The only one so far is an average one.
        #expect(first?.factor == 1)
        #expect(first?.experts == [1, 0])
        #expect(first?.workers == 2)
        let second = Self.plan(
            state.step(Self.push("b", 1, base: 8, tokens: 100, experts: [30, 5]), at: .zero))
        // A quarter of the tokens, of two workers: half an average one.
        #expect(second?.factor == 0.5)
        // Three quarters of expert 0's tokens, and all of expert 1's.
        #expect(second?.experts == [1.5, 2])
        _ = state.step(.removed(worker: "a", incarnation: 1, round: 3), at: .zero)
        let alone = Self.plan(
            state.step(Self.push("b", 2, base: 9, tokens: 100, experts: [30, 5]), at: .zero))
        #expect(alone?.factor == 1)
        #expect(alone?.workers == 1)
    }
}
