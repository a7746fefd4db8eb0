import LocalSGD
import NIOCore
import Tensors
import Testing

@testable import Codec

/// What is not said is said later, and what became of a push decides what is left.
@Suite struct ErrorFeedbackTests {
    @Test("T13: if all is kept and nothing is rounded, feedback is no feedback, bit for bit")
    func allKeptAndExactIsUncompressed() throws {
        var numbers = Numbers(seed: 1)
        let count = 4096 + 100
        let (plain, sum) = (DoubleBuffer(count: count), DoubleBuffer(count: count))
        let residual = FloatBuffer(count: count)
        for _ in 0..<5 {
            let update = numbers.steep(count)
            plain.accumulate(update, weight: 0.4)
            let feedback = Feedback(beta: 0.95, residual: residual, anchor: update)
            let selection = try #require(
                TopKSelection(feedback, kept: TopKSelection.chunkCount, next: nil))
            let x = FloatBuffer(count: count)
            feedback.write(to: x)
            for (order, position) in selection.positions.array.enumerated() {
                // All are kept, in their order; the quantizer is the identity.
                let index = order / 4096 * 4096 + Int(position)
                #expect(index == order)
                sum[index] += 0.4 * Double(x[index])
                residual[index] = x[index] - x[index]
            }
            #expect(residual.array.allSatisfy { $0 == 0 })
        }
        #expect(sum.array == plain.array)

        // The codec that rounds nothing has no residual either.
        var raw = ErrorFeedback(count: count)
        let update = numbers.steep(count)
        let payload = try raw.encode(.gradient(update), with: .raw)
        raw.settle(.missed)
        #expect(payload == RawCodec.encode(.gradient(update)))
        #expect(raw.residual.array.allSatisfy { $0 == 0 })
    }

    /// The gradients of two workers agree only in sum: in each of theirs, coordinate 0 is largest.
    @Test("T13b: one coordinate a round finds a quadratic's minimum; without feedback it does not")
    func oneCoordinateARoundConverges() throws {
        let count = 8
        let codec = Codec.topK(kept: 1)
        func distance(withFeedback: Bool) throws -> Double {
            let target = (0..<count).map { Float($0 + 1) / 8 }
            var point = [Float](repeating: 0, count: count)
            var feedbacks = [
                ErrorFeedback(count: count, beta: 1), ErrorFeedback(count: count, beta: 1),
            ]
            for _ in 0..<2000 {
                let sum = DoubleBuffer(count: count)
                for worker in 0..<2 {
                    let gradient = FloatBuffer(zip(point, target).map { $0 - $1 })
                    // It cancels in the mean.
                    gradient[0] += worker == 0 ? 4 : -4
                    let payload: ByteBuffer
                    if withFeedback {
                        payload = try feedbacks[worker].encode(.gradient(gradient), with: codec)
                        feedbacks[worker].settle(.applied)
                    } else {
                        payload = try codec.encode(.gradient(gradient))
                    }
                    try codec.accumulate(
                        payload, kind: .local, anchor: gradient, weight: 0.5, into: sum)
                }
                for index in 0..<count { point[index] -= 0.02 * Float(sum[index]) }
            }
            return zip(point, target).map { Double(($0 - $1) * ($0 - $1)) }.reduce(0, +)
        }
        let start = (1...8).map { Double($0 * $0) / 64 }.reduce(0, +)
        #expect(try distance(withFeedback: true) < 0.02 * start)
        #expect(try distance(withFeedback: false) > 0.5 * start)
    }

    @Test(
        "T12: with beta 1, sent and left together are exactly what there was",
        arguments: [Codec.topKUp, .topK(kept: 300)])
    func nothingIsLost(_ codec: Codec) throws {
        let count = 5000
        var numbers = Numbers(seed: 2)
        var feedback = ErrorFeedback(count: count, beta: 1)
        let (all, sent) = (DoubleBuffer(count: count), DoubleBuffer(count: count))
        for round in 0..<6 {
            // Multiples of 1/8, and levels above 1, which are multiples of 1/16: no sum is rounded.
            let update = FloatBuffer(
                (0..<count).map { _ in (numbers.next() * 16).rounded() / 8 })
            all.accumulate(update, weight: 1)
            let payload = try feedback.encode(.gradient(update), with: codec)
            if round % 2 == 0 {
                try codec.accumulate(
                    payload, kind: .local, anchor: update, weight: 1, into: sent)
                feedback.settle(.applied)
            } else {
                feedback.settle(.missed)
            }
        }
        for index in 0..<count {
            #expect(sent[index] + Double(feedback.residual[index]) == all[index], "\(index)")
        }
    }

    /// 6.7: what a verdict leaves behind.
    @Test(arguments: Codec.lossy)
    func verdictsDecideWhatIsLeft(_ codec: Codec) throws {
        let count = 5000
        var numbers = Numbers(seed: 3)
        let (first, second) = (numbers.steep(count), numbers.steep(count))
        var start = ErrorFeedback(count: count, beta: 0.9)
        _ = try start.encode(.gradient(first), with: codec)
        start.settle(.applied)
        let before = start.residual.duplicate()
        let whole = FloatBuffer(count: count)
        Feedback(beta: 0.9, residual: before, anchor: second).write(to: whole)

        for verdict in [ErrorFeedback.Verdict.applied, .missed, .discarded] {
            var feedback = ErrorFeedback(count: count, beta: 0.9)
            _ = try feedback.encode(.gradient(first), with: codec)
            feedback.settle(.applied)
            let payload = try feedback.encode(.gradient(second), with: codec)
            #expect(feedback.residual.isEqual(to: before), "nothing is decided yet")
            feedback.settle(verdict)
            let said = try codec.decode(payload, count: count)
            for index in 0..<count {
                let rest = whole[index] - said[index]
                switch verdict {
                case .applied: #expect(feedback.residual[index] == rest)
                case .missed: #expect(feedback.residual[index] == rest + said[index])
                case .discarded:
                    #expect(feedback.residual[index].bitPattern == before[index].bitPattern)
                }
            }
            let settled = feedback.residual.duplicate()
            feedback.settle(.missed)
            #expect(feedback.residual.isEqual(to: settled), "a second verdict changes nothing")
        }
    }

    /// What a resume starts from is what the next round would have.
    @Test func whatIsKeptIsWhatTheNextRoundStartsFrom() throws {
        var numbers = Numbers(seed: 5)
        let count = 5000
        var feedback = ErrorFeedback(count: count)
        for round in 0..<3 {
            _ = try feedback.payload(
                of: .gradient(numbers.steep(count)), round: round, with: .topKUp)
            // Also of an update that nobody has told the end of.
            if round == 1 { feedback.settle(.applied) }
            let update = Update.gradient(numbers.steep(count))
            var resumed = ErrorFeedback(residual: feedback.kept.duplicate())
            var goingOn = feedback
            let expected = try goingOn.payload(of: update, round: 9, with: .topKUp)
            #expect(try resumed.payload(of: update, round: 9, with: .topKUp) == expected)
            feedback = ErrorFeedback(residual: feedback.kept.duplicate())
        }
    }

    /// A worker whose push failed half-way pushes every module of the round again.
    @Test func aRoundHasOnePayload() throws {
        var numbers = Numbers(seed: 5)
        let update = Update.gradient(numbers.steep(5000))
        var feedback = ErrorFeedback(count: 5000)
        let first = try feedback.payload(of: update, round: 7, with: .topKUp)
        #expect(try feedback.payload(of: update, round: 7, with: .topKUp) == first)
        feedback.settle(.applied)
        let left = feedback.residual.array
        #expect(try feedback.payload(of: update, round: 7, with: .topKUp) == first)
        feedback.settle(.applied)
        #expect(feedback.residual.array == left)
        #expect(try feedback.payload(of: update, round: 8, with: .topKUp) != first)
    }

    @Test func outcomesHaveTheirVerdict() {
        let verdicts: [(PushOutcome, ErrorFeedback.Verdict?)] = [
            (.accepted, .applied), (.late(current: 2), .missed), (.stale(by: 1), .missed),
            (.notMember, .missed), (.refused("x"), .discarded), (.early, nil),
        ]
        for (outcome, verdict) in verdicts { #expect(ErrorFeedback.Verdict(outcome) == verdict) }
    }
}
