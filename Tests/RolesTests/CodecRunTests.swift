import Cluster
import LocalSGD
import Roles
import Testing

@Suite("Codecs in a running cluster")
struct CodecRunTests {
    private static let codecs = ["raw", "bf16", "int8", "int4/plain", "fp4", "topk/512"]

    private func options(_ codec: String, _ mode: RunMode) -> SimulatedCluster.Options {
        var options = SimulatedCluster.Options()
        options.settings = SimulationTests.settings(rounds: 40)
        options.settings.mode = mode
        options.settings.codec = codec
        // What is said late must not be said again by momentum.
        options.settings.outer.learningRate = 1
        options.settings.outer.momentum = 0
        options.settings.rounds.syncSeconds = 0.4
        options.settings.observation.evaluateEvery = 4
        return options
    }

    private func losses(_ outcome: SimulatedCluster.Outcome) -> [Double] {
        (outcome.record?.history.points ?? []).compactMap(\.heldOutLoss)
    }

    @Test("A run learns with every codec, through loss and duplication", arguments: codecs)
    func learns(codec: String) throws {
        for mode in RunMode.allCases {
            var options = options(codec, mode)
            options.faults.loss = 0.01
            options.limit = .seconds(10_000)
            options.faults.duplication = 0.05
            let outcome = try SimulatedCluster(options).run()
            #expect(outcome.phase == .finished, "\(mode)")
            let losses = losses(outcome)
            let first = try #require(losses.first)
            #expect((losses.last ?? 99) < 0.7 * first, "\(mode): \(losses)")
        }
    }

    /// One number of each module and round is sent.
    ///
    /// Without what earlier rounds left, the small ones would never be.
    @Test("T13b: what a round does not say is said by later ones")
    func residual() throws {
        let raw = losses(try SimulatedCluster(options("raw", .edit)).run())
        let sparse = losses(try SimulatedCluster(options("topk/1", .edit)).run())
        let best = try #require(raw.last)
        let first = try #require(sparse.first)
        let last = try #require(sparse.last)
        #expect(last - best < 0.5 * (first - best), "\(first) to \(last), raw \(best)")
    }

    /// With 1 in 4096 kept for ever, what is said late is too much by then.
    @Test("What is left unsaid decays as the run says")
    func decay() throws {
        let last = try [0.5, 0, 1].map { decay in
            var options = options("topk/1", .edit)
            options.settings.feedbackDecay = decay
            return try #require(losses(SimulatedCluster(options).run()).last)
        }
        #expect(last[0] < 0.9 * last[1] && last[1] < 0.9 * last[2], "\(last)")
    }

    @Test("The same seed gives the same history with residuals too")
    func sameSeedSameBits() throws {
        let one = try SimulatedCluster(options("topk/512", .edit)).run()
        let two = try SimulatedCluster(options("topk/512", .edit)).run()
        #expect(one.parameters == two.parameters)
        #expect(one.digest == two.digest)
    }
}
