import LocalSGD
import Testing

@Suite("Weights of a round")
struct PenaltyTests {
    private func share(_ worker: String, _ tokens: Int, observing: Bool = false) -> Penalty.Share {
        Penalty.Share(worker: worker, tokens: tokens, isObserving: observing)
    }

    @Test("Weights are in proportion to tokens")
    func byTokens() {
        let weights = Penalty.weights(of: [share("a", 100), share("b", 300)], by: .tokens)
        #expect(weights == [0.25, 0.75])
    }

    @Test("Uniform weights ignore tokens")
    func uniform() {
        let weights = Penalty.weights(of: [share("a", 100), share("b", 300)], by: .uniform)
        #expect(weights == [0.5, 0.5])
    }

    @Test(
        "An observing worker has no weight; the others share all of it",
        arguments: Weighting.allCases)
    func observing(weighting: Weighting) {
        let weights = Penalty.weights(
            of: [share("a", 100), share("b", 500, observing: true), share("c", 100)], by: weighting)
        #expect(weights == [0.5, 0, 0.5])
    }

    @Test("If only observers are there, they count", arguments: Weighting.allCases)
    func onlyObservers(weighting: Weighting) {
        let weights = Penalty.weights(
            of: [share("a", 100, observing: true), share("b", 100, observing: true)], by: weighting)
        #expect(weights == [0.5, 0.5])
    }

    @Test("Rounds without tokens fall back to equal weights")
    func noTokens() {
        #expect(Penalty.weights(of: [share("a", 0), share("b", 0)], by: .tokens) == [0.5, 0.5])
    }

    @Test("The clip is off at 0 and never scales up")
    func clip() {
        #expect(Penalty.clipFactor(norm: 1e9, bound: 0) == 1)
        #expect(Penalty.clipFactor(norm: 0.5, bound: 1) == 1)
        #expect(Penalty.clipFactor(norm: 0, bound: 1) == 1)
        #expect(Penalty.clipFactor(norm: 4, bound: 1) == 1 / (4 + 1e-6))
    }
}
