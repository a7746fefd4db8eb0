import Tensors
import Testing

@testable import MoE

/// What masks leave of the output of one layer of experts.
@Suite struct MaskForwardTests {
    private static let uses = [Masking.Use.training, .skipping]
    private let M = MaskedLayer<Float>.rows
    private let K = ModelConfiguration.maskedLayer.expertsPerToken

    enum Shared: CaseIterable {
        case none, gated, plain

        var configuration: ModelConfiguration {
            var configuration = ModelConfiguration.maskedLayer
            configuration.sharedExpertHiddenSize = self == .none ? 0 : 5
            configuration.gatesSharedExpert = self == .gated
            return configuration
        }
    }

    // MARK: All closed, one open, half open

    @Test(
        "BEAM 2: where every slot is closed, the shared expert speaks alone, or nobody",
        arguments: Shared.allCases, uses)
    func allClosed(shared: Shared, use: Masking.Use) {
        expectOnlyShared(MaskedLayer<Float>(shared.configuration), use)
        expectOnlyShared(MaskedLayer<Float>(shared.configuration, operations: .reference), use)
        expectOnlyShared(MaskedLayer<Double>(shared.configuration), use)
    }

    private func expectOnlyShared<Element>(_ layer: MaskedLayer<Element>, _ use: Masking.Use) {
        var byBias = Masking(use)
        byBias.bias = -1
        var byThreshold = Masking(use)
        byThreshold.threshold = 1
        for (masking, logit) in [(byBias, 0.0), (byThreshold, 0), (Masking(use), -1)] {
            layer.setMaskLogits { _, _ in logit }
            let y_MD = layer.forward(MaskingPass(masking))
            #expect(layer.live == Array(repeating: -1, count: M * K))
            #expect(layer.tally?.live == 0 && layer.tally?.empty == M && layer.tally?.tokens == M)
            #expect(layer.kept.dispatch.rows == (use == .skipping ? 0 : M * K))
            let isSilent = layer.configuration.sharedExpertHiddenSize == 0
            #expect(y_MD.array.allSatisfy { $0 == 0 } == isSilent)
            #expect(sameBits(y_MD, layer.sharedOutput()))
        }
        layer.setMaskLogits { _, _ in 0 }
        #expect(!sameBits(layer.forward(use), layer.sharedOutput()), "open slots are felt")
    }

    @Test(
        "BEAM 3: a slot that is open alone gives its weight times its expert, whatever its rank",
        arguments: 0..<3, uses)
    func oneOpen(rank: Int, use: Masking.Use) {
        let layer = MaskedLayer<Double>()
        layer.forward(.off)
        let chosen = layer.chosen
        let weights = layer.kept.routing.weights_MK.duplicate()
        layer.setMaskLogits { token, expert in chosen[token * K + rank] == expert ? 1 : -1 }
        let y_MD = layer.forward(use)
        let loops = MaskSurrogate(layer, Masking(use))
        let expected = (0..<M).flatMap { token -> [Double] in
            let slot = token * K + rank
            return loops.output(ofExpert: chosen[slot], token).map { weights[slot] * $0 }
        }
        #expect(layer.live.enumerated().allSatisfy { ($1 >= 0) == ($0 % K == rank) })
        #expect(relativeDistance(y_MD.array, expected) < 1e-12)
    }

    /// A mask and its opposite for half of the pairs of tokens and experts.
    private func checkered(_ token: Int, _ expert: Int) -> Double {
        (token + expert).isMultiple(of: 2) ? 1 : -1
    }

    @Test(
        "BEAM 4: masks that complement each other add up to none",
        arguments: Shared.allCases, uses)
    func complements(shared: Shared, use: Masking.Use) {
        let layer = MaskedLayer<Float>(shared.configuration)
        let plain = layer.forward(.off).array
        let common = layer.sharedOutput().array
        layer.setMaskLogits(checkered)
        let half = layer.forward(use).array
        layer.setMaskLogits { -checkered($0, $1) }
        let rest = layer.forward(use).array
        let sum = plain.indices.map { half[$0] + rest[$0] }
        let expected = plain.indices.map { plain[$0] + common[$0] }
        #expect(relativeDistance(sum, expected) < 1e-5)
        #expect(relativeDistance(half, plain) > 1e-2 && relativeDistance(rest, plain) > 1e-2)
    }

    @Test("BEAM 5: what is left of the weights is not scaled up", arguments: uses)
    func noRenormalisation(use: Masking.Use) {
        let layer = MaskedLayer<Float>()
        layer.forward(.off)
        let plain = layer.kept.routing.weights_MK.array
        layer.setMaskLogits(checkered)
        layer.forward(use)
        let masked = layer.kept.routing.mask?.masked_MK.array ?? []
        #expect(layer.kept.routing.weights_MK.array == plain)
        #expect(masked == zip(plain, layer.live).map { weight, expert in expert < 0 ? 0 : weight })
        for token in 0..<M {
            let slots = token * K..<(token + 1) * K
            #expect(abs(plain[slots].reduce(0, +) - 1) < 1e-6)
            let isWhole = layer.live[slots].allSatisfy { $0 >= 0 }
            #expect(isWhole || masked[slots].reduce(0, +) < 0.999)
        }
        #expect(layer.live.contains(-1) && layer.live.contains { $0 >= 0 })
    }

    // MARK: Logits

    @Test("BEAM 6: mask logits of experts that were not chosen mean nothing", arguments: uses)
    func otherLogits(use: Masking.Use) {
        let layer = MaskedLayer<Float>()
        layer.forward(.off)
        let chosen = layer.chosen
        func output(chosenBy sign: Double, others: Double) -> Buffer<Float> {
            layer.setMaskLogits { token, expert in
                let isChosen = chosen[token * K..<(token + 1) * K].contains(expert)
                return isChosen ? sign * checkered(token, expert) : others
            }
            return layer.forward(use)
        }
        let expected = output(chosenBy: 1, others: 0)
        for others in [-50, -0.01, 0.01, 50] {
            #expect(sameBits(output(chosenBy: 1, others: others), expected))
        }
        #expect(!sameBits(output(chosenBy: -1, others: 0), expected))
    }

    @Test(
        "BEAM 6: a threshold on the logit is one on the sigmoid, and what meets it is open",
        arguments: [0.1, 0.3, 0.5, 0.7, 0.9])
    func threshold(tau: Double) {
        let layer = MaskedLayer<Double>()
        var masking = Masking(.skipping)
        masking.threshold = Masking.logit(tau)
        for distance in [-3, -1e-3, -1e-9, 0, 1e-9, 1e-3, 3] {
            let logit = masking.threshold + distance
            layer.setMaskLogits { _, _ in logit }
            layer.forward(MaskingPass(masking))
            let closed = Array(repeating: -1, count: M * K)
            #expect(layer.live == (distance >= 0 ? layer.chosen : closed), "\(distance)")
            // At the threshold itself the sigmoid is tau but for its rounding.
            if distance != 0 { #expect((sigmoid(logit) >= tau) == (distance > 0)) }
        }
        #expect(Masking.logit(0.5) == 0)
    }

    @Test("BEAM 6: a mask logit of minus zero is open, as one of zero is")
    func minusZero() {
        for operations in [Operations<Float>.fast, .reference] {
            let live = Buffer<Int32>(count: 2)
            let tally = operations.mask(
                MaskShape(rows: 1, experts: 3, choices: 2, stride: 3),
                logits: Buffer<Float>([-0.0, -1, 0]), chosen: Buffer<Int32>([2, 0]),
                weights: Buffer<Float>([0.75, 0.25]), targets: nil, soft: Buffer<Float>(count: 2),
                masked: Buffer<Float>(count: 2), live: live)
            #expect(live.array == [2, 0])
            #expect(tally.live == 2 && tally.soft == 1)
        }
    }

    @Test("A mask logit that is no number closes its slot and is counted", arguments: uses)
    func notANumber(use: Masking.Use) {
        for operations in [Operations<Float>.fast, .reference] {
            let layer = MaskedLayer<Float>(operations: operations)
            layer.forward(.off)
            let (chosen, broken) = (layer.chosen, layer.chosen[0])
            layer.setMaskLogits { _, expert in expert == broken ? -1 : 1 }
            let expected = layer.forward(use)
            #expect(layer.tally?.invalid == 0)
            layer.setMaskLogits { _, expert in expert == broken ? .nan : 1 }
            #expect(sameBits(layer.forward(use), expected))
            #expect(layer.live == chosen.map { $0 == broken ? -1 : $0 })
            let count = chosen.count { $0 == broken }
            #expect(layer.tally?.invalid == count && layer.tally?.live == M * K - count)
        }
    }

    // MARK: Work

    @Test("BEAM 7: what is skipped is not computed, and the output is the same")
    func rowsAreLiveSlots() {
        let layer = MaskedLayer<Float>()
        layer.setMaskLogits { token, expert in
            token == 0 || expert == 2 || token + expert == 5 ? -1 : 1
        }
        let whole = layer.forward(.training)
        #expect(layer.kept.dispatch.rows == M * K)
        let skipped = layer.forward(.skipping)
        #expect(sameBits(skipped, whole))
        let live = layer.live.filter { $0 >= 0 }
        #expect((1..<M * K).contains(live.count) && Set(live).count < live.count)
        #expect(layer.kept.dispatch.rows == live.count && layer.tally?.live == live.count)
        let activity = FeedForwardActivations.experts(layer.kept)
            .activity(tokens: M, MaskingPass(Masking(.skipping)))
        #expect(activity.passes == 1 && activity.tokens == M && activity.rows == live.count)
        #expect(activity.experts == Set(live).count && activity.invalid == 0)
        let empty = (0..<M).count { token in
            layer.live[token * K..<(token + 1) * K].allSatisfy { $0 < 0 }
        }
        #expect(activity.empty == empty && empty >= 1)
    }

    /// Weights that no expert of a good model has.
    enum Poison: CaseIterable {
        case nan, infinity, infiniteOutput

        func spoil(_ expert: Int, of layer: MaskedLayer<Float>) {
            let names = layer.names.expert(expert)
            let value: Float = self == .nan ? .nan : .infinity
            let spoiled = self == .infiniteOutput ? [] : [names.gate, names.up]
            for name in spoiled + [names.down] {
                layer.part(name, of: layer.parameters).fill(value)
            }
        }
    }

    @Test(
        "BEAM 7: an expert without rows is not read; a closed slot adds nothing to infinity",
        arguments: Poison.allCases)
    func poisonedExpert(poison: Poison) {
        let F = ModelConfiguration.maskedLayer.expertHiddenSize
        for operations in [Operations<Float>.fast, .reference] {
            let layer = MaskedLayer<Float>(operations: operations)
            layer.forward(.off)
            let closed = layer.chosen[0]
            layer.setMaskLogits { _, expert in expert == closed ? -1 : 1 }
            let expected = layer.forward(.skipping)
            poison.spoil(closed, of: layer)
            #expect(sameBits(layer.forward(.skipping), expected))
            let hidden = layer.kept.buffers.hidden
            #expect(hidden[0..<layer.kept.dispatch.rows * F].allFinite)
            // In training it is computed all the same, and selected away.
            #expect(sameBits(layer.forward(.training), expected))
            #expect(hidden[0..<M * K * F].allFinite == (poison == .infiniteOutput))
            layer.setMaskLogits { _, _ in 1 }
            #expect(!layer.forward(.training).allFinite)
            #expect(!layer.forward(.skipping).allFinite)
        }
    }
}
