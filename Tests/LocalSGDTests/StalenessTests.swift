import LocalSGD
import Testing

@Suite("Staleness")
struct StalenessTests {
    @Test("T12: fresh pushes count in full, three versions old ones half, too old ones not at all")
    func t12Factors() {
        #expect(Staleness.factor(staleness: 0, weight: 0.25, workers: 4) == 1)
        #expect(Staleness.factor(staleness: 3, weight: 0.25, workers: 4) == 0.5)
        #expect(Staleness.bound(workers: 4) == 16)
        #expect(Staleness.factor(staleness: 15, weight: 0.25, workers: 4) == 0.25)
        #expect(Staleness.factor(staleness: 16, weight: 0.25, workers: 4) != nil)
        #expect(Staleness.factor(staleness: 17, weight: 0.25, workers: 4) == nil)
        #expect(Staleness.factor(staleness: 5, weight: 1, workers: 0) == nil)
    }

    @Test("T12: the share of a worker is bounded by 0 and 2 average ones")
    func t12Shares() {
        #expect(Staleness.factor(staleness: 0, weight: 0.375, workers: 4) == 1.5)
        #expect(Staleness.factor(staleness: 0, weight: 0.9, workers: 4) == 2)
        #expect(Staleness.factor(staleness: 3, weight: 0.9, workers: 4) == 1)
        #expect(Staleness.factor(staleness: 0, weight: 0, workers: 4) == 0)
        #expect(Staleness.factor(staleness: 0, weight: -1, workers: 4) == 0)
        #expect(Staleness.factor(staleness: 0, weight: .nan, workers: 4) == 0)
        #expect(Staleness.factor(staleness: -1, weight: 0.25, workers: 4) == 1)
    }

    /// Error feedback with one coordinate per push: the simplest lossy codec.
    private struct Residual {
        var values: [Double]

        /// Takes in `update` and gives out its largest coordinate.
        mutating func send(_ update: [Double]) -> (index: Int, value: Double) {
            for index in values.indices { values[index] += update[index] }
            var best = 0
            for index in values.indices where abs(values[index]) > abs(values[best]) {
                best = index
            }
            defer { values[best] = 0 }
            return (best, values[best])
        }

        /// What was sent was not applied.
        mutating func takeBack(_ sent: (index: Int, value: Double)) {
            values[sent.index] += sent.value
        }
    }

    @Test("T12: nothing is lost when stale pushes go back into the residual")
    func t12Conservation() {
        var generator = TestGenerator(state: 21)
        var residuals = (0..<3).map { _ in Residual(values: [0, 0, 0, 0]) }
        var pulled = [0, 0, 0]
        var version = 0
        var stale = 0
        var applied = [0.0, 0, 0, 0]
        var learnt = [0.0, 0, 0, 0]
        for _ in 0..<2000 {
            let worker = min(Int(abs(generator.float()) * 8), 2)
            let isIdle = worker == 0 && generator.float() < 0.9
            // Worker 0 is rarely here, so what it pushes is often too old.
            if isIdle { continue }
            let update = (0..<4).map { _ in (Double(generator.float()) * 1000).rounded() }
            for index in 0..<4 { learnt[index] += update[index] }
            let sent = residuals[worker].send(update)
            let age = version - pulled[worker]
            if Staleness.factor(staleness: age, weight: 1.0 / 3, workers: 3) != nil {
                applied[sent.index] += sent.value
                version += 1
            } else {
                residuals[worker].takeBack(sent)
                stale += 1
            }
            pulled[worker] = version
        }
        #expect(stale > 5)
        #expect(version > 1000)
        for index in 0..<4 {
            let left = residuals.reduce(0) { $0 + $1.values[index] }
            #expect(applied[index] + left == learnt[index])
        }
    }
}
