import LocalSGD
import Tensors
import Testing

@Suite("Mean that keeps its length")
struct RadialMeanTests {
    /// The merge of whole updates; a shard server makes that of each part of a module.
    private func merge(_ updates: [[Float]], weights: [Double]? = nil) -> [Double] {
        let buffers = updates.map { FloatBuffer($0) }
        let mean = RadialMean(
            norms: buffers.map { $0.sumOfSquares.squareRoot() },
            weights: weights ?? updates.map { _ in 1 })
        func sum(_ factors: [Double]) -> DoubleBuffer {
            let sum = DoubleBuffer(count: updates[0].count)
            for (buffer, factor) in zip(buffers, factors) where factor > 0 {
                sum.accumulate(buffer, weight: factor)
            }
            return sum
        }
        let direction = sum(mean.directions)
        guard mean.hasDirections,
            let scale = mean.scale(ofDirection: direction.sumOfSquares.squareRoot())
        else { return sum(mean.plain).array }
        direction.scale(by: scale)
        return direction.array
    }

    private func isClose(_ left: [Double], _ right: [Double]) -> Bool {
        left.count == right.count && zip(left, right).allSatisfy { abs($0 - $1) < 1e-12 }
    }

    @Test("T21: two orthogonal updates of norm 2 make one of norm 2 on the diagonal")
    func t21Orthogonal() {
        let diagonal = 2.0.squareRoot()
        #expect(isClose(merge([[2, 0], [0, 2]]), [diagonal, diagonal]))
    }

    @Test("T21: a single learner's update is left as it is")
    func t21Single() {
        let update: [Float] = [0.1, -0.7, 3.3e-20, 5]
        #expect(merge([update]) == update.map { Double($0) })
        #expect(merge([[1, 1, 1, 1], update], weights: [0, 0.3]) == update.map { Double($0) })
    }

    @Test("T21: opposite updates fall back to the mean")
    func t21Opposite() {
        #expect(merge([[3, 4], [-3, -4]]) == [0, 0])
        #expect(isClose(merge([[3, 4], [-1.5, -2]]), [0.75, 1]))
        #expect(isClose(merge([[3, 4], [-3, -4]], weights: [3, 3]), [0, 0]))
    }

    @Test("T21: what nearly cancels has no direction either, only rounding")
    func t21NearlyOpposite() {
        #expect(isClose(merge([[1, 1e-7], [-1, 0]]), [0, Double(Float(1e-7)) / 2]))
        let update: [Float] = [0.1, 0.7, 0.3]
        let half = update.map { Double($0) / 2 }
        #expect(isClose(merge([update, update.map { -2 * $0 }]), half.map { -$0 }))
    }

    @Test("T21: zeros make zero, and count for the mean length")
    func t21Zeros() {
        #expect(merge([[0, 0], [0, 0]]) == [0, 0])
        #expect(merge([[1, 2]], weights: [0]) == [0, 0])
        #expect(merge([[0, 0], [2, 4]]) == [1, 2])
        let diagonal = 2 / 3.0 * 2.0.squareRoot()
        #expect(isClose(merge([[0, 0], [2, 0], [0, 2]]), [diagonal, diagonal]))
    }

    @Test("Many updates follow the formula, and don't shrink as their mean does")
    func formula() {
        var generator = TestGenerator(state: 41)
        let size = 5000
        let updates = (0..<8).map { worker in
            (0..<size).map { _ in generator.float() * Float(worker + 1) }
        }
        let weights = (0..<8).map { _ in Double(abs(generator.float())) + 0.1 }
        let total = weights.reduce(0, +)
        let norms = updates.map { update in
            update.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
        }
        let direction = (0..<size).map { index in
            (0..<8).reduce(0) { $0 + weights[$1] * Double(updates[$1][index]) / norms[$1] }
        }
        let length = direction.reduce(0) { $0 + $1 * $1 }.squareRoot()
        let meanNorm = zip(weights, norms).reduce(0) { $0 + $1.0 * $1.1 } / total
        let expected = direction.map { meanNorm * $0 / length }
        let found = merge(updates, weights: weights)
        #expect(isClose(found, expected))
        let norm = found.reduce(0) { $0 + $1 * $1 }.squareRoot()
        #expect(abs(norm / meanNorm - 1) < 1e-12)
        let mean = (0..<size).map { index in
            (0..<8).reduce(0) { $0 + weights[$1] * Double(updates[$1][index]) } / total
        }
        #expect(mean.reduce(0) { $0 + $1 * $1 }.squareRoot() < 0.5 * norm)
    }
}
