import LocalSGD
import Tensors
import Testing

@Suite("Weights of experts")
struct PartWeightTests {
    private static let shares = [
        Penalty.Share(worker: "a", tokens: 100, isObserving: false, norm: 1, steps: 4),
        Penalty.Share(worker: "b", tokens: 300, isObserving: false, norm: 4, steps: 4),
        Penalty.Share(worker: "c", tokens: 100, isObserving: false, norm: 2, steps: 4),
        Penalty.Share(worker: "d", tokens: 900, isObserving: true, norm: 2, steps: 4),
        Penalty.Share(
            worker: "e", tokens: 900, isObserving: false, norm: 99, steps: 4, isAnomalous: true),
    ]

    /// Tokens per worker and expert: one that all saw, one of worker c alone, one that only the
    /// observer and the flagged saw, one that nobody saw.
    private static let tokens = [
        [50, 0, 0, 0], [10, 0, 0, 0], [40, 7, 0, 0], [90, 90, 90, 0], [5, 5, 5, 0],
    ]

    private func isClose(_ left: [Double], _ right: [Double]) -> Bool {
        left.count == right.count && zip(left, right).allSatisfy { abs($0 - $1) < 1e-15 }
    }

    @Test("Each touched part's weights sum to 1, others are all 0", arguments: Weighting.allCases)
    func sums(weighting: Weighting) {
        let weights = Penalty.weights(
            of: Self.shares, tokens: Self.tokens, experts: 4, by: weighting)
        #expect(weights.dense == Penalty.weights(of: Self.shares, by: weighting))
        for part in [ModulePart.dense, .expert(0), .expert(1)] {
            #expect(weights.isTouched(part))
            #expect(abs(weights[part].reduce(0, +) - 1) < 1e-15)
            #expect(weights[part][3...] == [0, 0])
        }
        #expect(weights[.expert(1)] == [0, 0, 1, 0, 0])
        for part in [ModulePart.expert(2), .expert(3)] {
            #expect(!weights.isTouched(part))
            #expect(weights[part] == [0, 0, 0, 0, 0])
        }
    }

    @Test("An expert's weights are its tokens times the dense part's factor for the norm")
    func formula() {
        // The slow way, with the weights of one token each as the factors.
        let alike = Self.shares.map {
            Penalty.Share(
                worker: $0.worker, tokens: 1, isObserving: $0.isObserving, norm: $0.norm,
                steps: $0.steps, isAnomalous: $0.isAnomalous)
        }
        for weighting in [Weighting.tokens, .relative, .edit, .dips] {
            let factors = Penalty.weights(of: alike, by: weighting)
            let masses = zip(Self.tokens, factors).map { Double($0[0]) * $1 }
            let expected = masses.map { $0 / masses.reduce(0, +) }
            let weights = Penalty.weights(
                of: Self.shares, tokens: Self.tokens, experts: 1, by: weighting)
            #expect(isClose(weights.experts[0], expected))
        }
        let uniform = Penalty.weights(
            of: Self.shares, tokens: Self.tokens, experts: 1, by: .uniform)
        #expect(isClose(uniform.experts[0], [1.0 / 3, 1.0 / 3, 1.0 / 3, 0, 0]))
    }

    @Test("An expert that only an outlier saw is still its to teach")
    func outlierAlone() {
        let shares = [1.0, 1, 1e9].map {
            Penalty.Share(worker: "w", tokens: 100, isObserving: false, norm: $0)
        }
        for weighting in [Weighting.relative, .edit] {
            let weights = Penalty.weights(
                of: shares, tokens: [[0], [0], [3]], experts: 1, by: weighting)
            #expect(weights.dense == [0.5, 0.5, 0])
            #expect(weights.experts == [[0, 0, 1]])
        }
    }

    @Test("A rollback is one of all parts", arguments: Weighting.allCases)
    func rollback(weighting: Weighting) {
        let flagged = [Self.shares[4], Self.shares[4]]
        let weights = Penalty.weights(
            of: flagged, tokens: [[5], [5]], experts: 1, by: weighting)
        #expect(weights.dense == [0, 0])
        #expect(weights.experts == [[0, 0]])
    }

    @Test("Counts that are missing or negative are 0")
    func oddCounts() {
        let weights = Penalty.weights(
            of: Array(Self.shares[..<3]), tokens: [[], [-4, 4], [1]], experts: 2, by: .tokens)
        #expect(weights.experts == [[0, 0, 1], [0, 1, 0]])
    }

    @Test("A module is cut at its experts, and its pieces cover it")
    func layout() {
        let layout = ParameterLayout(modules: [
            ("embedding", [("model.embed_tokens.weight", [10, 4])]),
            (
                "layer",
                [
                    ("model.layers.0.self_attn.q_proj.weight", [4, 4]),
                    ("model.layers.0.mlp.gate.weight", [2, 4]),
                    ("model.layers.0.mlp.experts.0.up_proj.weight", [3, 4]),
                    ("model.layers.0.mlp.experts.0.down_proj.weight", [4, 3]),
                    ("model.layers.0.mlp.experts.1.up_proj.weight", [3, 4]),
                    ("model.layers.0.mlp.shared_experts.up_proj.weight", [1, 4]),
                ]
            ),
        ])
        let parts = PartLayout(module: 1, of: layout)
        #expect(
            parts.pieces == [
                PartLayout.Piece(part: .dense, range: 0..<16),
                PartLayout.Piece(part: .router, range: 16..<24),
                PartLayout.Piece(part: .expert(0), range: 24..<48),
                PartLayout.Piece(part: .expert(1), range: 48..<60),
                PartLayout.Piece(part: .dense, range: 60..<64),
            ])
        #expect(parts.experts == 2)
        let embedding = PartLayout(module: 0, of: layout)
        #expect(embedding.pieces == [PartLayout.Piece(part: .dense, range: 0..<40)])
        #expect(embedding.experts == 0)
    }
}
