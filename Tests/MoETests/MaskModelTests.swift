import MoE
import Tensors
import Testing

/// Masks in whole models: what changes nothing, to the bit, and what they add to the loss.
@Suite struct MaskModelTests {
    /// [B,T+1] and, without the last two, [B,T].
    private let tokens: [Int32] = {
        var numbers = TestNumbers(seed: 81)
        return numbers.tokens(2 * 18, vocabulary: 83)
    }()

    private func rounded(_ parameters: FloatBuffer) -> Buffer<BFloat16> {
        let half = Buffer<BFloat16>(count: parameters.count)
        half.round(parameters)
        return half
    }

    private func logits<Element: KernelElement>(
        _ configuration: ModelConfiguration, _ parameters: Buffer<Element>, _ masking: Masking
    ) -> Buffer<Element.Sum> {
        Transformer<Element>(configuration: configuration, batch: 2, sequence: 17)
            .logits(of: parameters, tokens: Array(tokens.dropLast(2)), masking: masking)
    }

    private func gradients<Element: KernelElement>(
        _ configuration: ModelConfiguration, _ parameters: Buffer<Element>, _ masking: Masking,
        recomputes: Bool = false
    ) -> (LossReport, Buffer<Element.Sum>) {
        let transformer = Transformer<Element>(
            configuration: configuration, batch: 2, sequence: 17, recomputes: recomputes)
        let gradients = Buffer<Element.Sum>(count: parameters.count)
        let report = transformer.gradients(
            of: parameters, tokens: tokens, masking: masking, into: gradients)
        return (report, gradients)
    }

    // MARK: Neutral masks

    @Test(
        "BEAM 1: masks that are off, or whose router is zero, change no bit",
        arguments: ModelVariant.allCases)
    func neutral(variant: ModelVariant) throws {
        let plain = variant.applied(to: .odd)
        try plain.withMasks.validate()
        let parameters: FloatBuffer = plain.testParameters(seed: 82, scale: 0.2)
        expectNeutral(plain, parameters)
        expectNeutral(plain, rounded(parameters))
    }

    private func expectNeutral<Element: KernelElement>(
        _ plain: ModelConfiguration, _ parameters: Buffer<Element>
    ) where Element.Sum == Float {
        let masked = plain.withMasks
        let expected = logits(plain, parameters, .off)
        let zero = copyByName(parameters, from: plain.layout, to: masked.layout)
        for use in [Masking.Use.off, .training, .skipping] {
            #expect(sameBits(logits(masked, zero, Masking(use)), expected), "\(use)")
        }
        // The smallest step away from "at least": all slots are then at the wrong side of it.
        var strict = Masking(.skipping)
        strict.threshold = Double(Float.leastNonzeroMagnitude)
        #expect(!sameBits(logits(masked, zero, strict), expected))
        // A mask router with any weights; those of the router, which lies before it, will do.
        let other = zero.duplicate()
        for mask in masked.maskRouters {
            let router = mask.range.lowerBound - mask.range.count..<mask.range.lowerBound
            other[mask.range].copy(from: other[router])
        }
        #expect(sameBits(logits(masked, other, .off), expected))
        #expect(!sameBits(logits(masked, other, Masking(.training)), expected))
    }

    @Test("BEAM 1: nor do they change any gradient but the mask router's own")
    func neutralGradients() {
        let plain = ModelConfiguration.odd
        let masked = plain.withMasks
        let parameters: FloatBuffer = plain.testParameters(seed: 83, scale: 0.2)
        let zero = copyByName(parameters, from: plain.layout, to: masked.layout)
        let (report, expected) = gradients(plain, parameters, .off)
        for use in [Masking.Use.off, .training] {
            let (found, all) = gradients(masked, zero, Masking(use))
            #expect(found.crossEntropySum == report.crossEntropySum)
            #expect(found.expertTokens == report.expertTokens)
            #expect(found.masks.count == (use == .off ? 0 : 3))
            let common = copyByName(all, from: masked.layout, to: plain.layout)
            #expect(common.array == expected.array)
            for mask in masked.maskRouters {
                let isZero = all[mask.range].array.allSatisfy { $0 == 0 }
                #expect(isZero == (use == .off), "\(mask.name)")
            }
        }
    }

    // MARK: Training and skipping

    @Test(
        "BEAM 7: slots that are skipped and slots that are computed in vain give the same bits",
        arguments: ModelVariant.allCases)
    func skipping(variant: ModelVariant) {
        let masked = variant.applied(to: .odd).withMasks
        let parameters: FloatBuffer = masked.testParameters(seed: 84, scale: 0.2)
        expectSameBits(masked, parameters)
        expectSameBits(masked, rounded(parameters))
    }

    @Test("BEAM 7: so they do beside a gated shared expert with experts in every layer")
    func skippingWithSharedExpert() {
        let masked = ModelConfiguration.odd.withMasks
        let parameters: FloatBuffer = masked.testParameters(seed: 84, scale: 0.2)
        expectSameBits(masked, parameters)
        expectSameBits(masked, rounded(parameters))
    }

    private func expectSameBits<Element: KernelElement>(
        _ masked: ModelConfiguration, _ parameters: Buffer<Element>
    ) where Element.Sum == Float {
        let whole = logits(masked, parameters, Masking(.training))
        #expect(sameBits(logits(masked, parameters, Masking(.skipping)), whole))
        #expect(!sameBits(logits(masked, parameters, .off), whole))
        let transformer = Transformer<Element>(configuration: masked, batch: 2, sequence: 17)
        let report = transformer.loss(of: parameters, tokens: tokens, masking: Masking(.training))
        let again = transformer.loss(of: parameters, tokens: tokens, masking: Masking(.skipping))
        #expect(again == report)
        #expect(report.masks.count == masked.expertLayers.count)
        for tally in report.masks {
            #expect(tally.tokens == 34 && tally.invalid == 0)
            #expect((1..<34 * masked.expertsPerToken).contains(tally.live))
        }
    }

    @Test("Computing activations again masks the same slots")
    func recomputing() {
        let masked = ModelConfiguration.odd.withMasks
        let parameters: FloatBuffer = masked.testParameters(seed: 85, scale: 0.2)
        var masking = Masking(.training)
        masking.coefficient = 0.3
        let (report, expected) = gradients(masked, parameters, masking)
        let (again, found) = gradients(masked, parameters, masking, recomputes: true)
        #expect(again == report && sameBits(found, expected))
    }

    @Test("Mask logits that are no numbers leave no slot open, and are counted")
    func notANumber() {
        let masked = ModelConfiguration.odd.withMasks
        let (D, broken) = (masked.hiddenSize, 2)
        let parameters: FloatBuffer = masked.testParameters(seed: 86, scale: 0.2)
        let first = masked.maskRouters[0].range.lowerBound
        parameters[first + broken * D..<first + (broken + 1) * D].fill(.nan)
        let transformer = Transformer<Float>(configuration: masked, batch: 2, sequence: 17)
        var sums: [Double] = []
        for use in [Masking.Use.training, .skipping] {
            let report = transformer.loss(of: parameters, tokens: tokens, masking: Masking(use))
            #expect(report.expertTokens[0][broken] > 0)
            #expect(report.masks.map(\.invalid) == [report.expertTokens[0][broken], 0, 0])
            sums.append(report.crossEntropySum)
        }
        #expect(sums[0].isFinite && sums[0] == sums[1])
    }

    @Test("Closed slots have no gradients unless they are computed")
    func noGradientsOfWhatIsSkipped() async {
        await #expect(processExitsWith: .failure) {
            let configuration = ModelConfiguration.tiny.withMasks
            let parameters = FloatBuffer(count: configuration.layout.count)
            _ = Transformer<Float>(configuration: configuration, batch: 1, sequence: 1).gradients(
                of: parameters, tokens: [1, 2], masking: Masking(.skipping),
                into: FloatBuffer(count: parameters.count))
        }
    }

    // MARK: Whole batches

    @Test(
        "Where a whole batch is masked, experts say nothing and learn nothing, and masks do",
        arguments: ModelVariant.allCases)
    func wholeBatchMasked(variant: ModelVariant) {
        let masked = variant.applied(to: .odd).withMasks
        let parameters: FloatBuffer = masked.testParameters(seed: 92, scale: 0.2)
        // The same model, whose experts give zeros.
        let silent = parameters.duplicate()
        let experts = masked.layout.tensors.filter { $0.name.contains(".experts.") }
        for tensor in experts { silent[tensor.range].clear() }
        expectOnlyTheRest(masked, parameters, silent)
        expectOnlyTheRest(masked, rounded(parameters), rounded(silent))

        let (report, gradients) = gradients(masked, parameters, closing(.training))
        #expect(report.crossEntropySum.isFinite && gradients.allFinite)
        #expect(!experts.isEmpty)
        for tensor in experts {
            let isZero = gradients[tensor.range].array.allSatisfy { $0 == 0 }
            #expect(isZero, "\(tensor.name)")
        }
        for mask in masked.maskRouters {
            #expect(gradients[mask.range].array.contains { $0 != 0 }, "\(mask.name)")
        }
    }

    /// Beyond any logit of these models.
    private func closing(_ use: Masking.Use) -> Masking {
        var masking = Masking(use)
        masking.threshold = 50
        return masking
    }

    private func expectOnlyTheRest<Element: KernelElement>(
        _ masked: ModelConfiguration, _ parameters: Buffer<Element>, _ silent: Buffer<Element>
    ) where Element.Sum == Float {
        let expected = logits(masked, silent, .off)
        let transformer = Transformer<Element>(configuration: masked, batch: 2, sequence: 17)
        for use in [Masking.Use.training, .skipping] {
            #expect(sameBits(logits(masked, parameters, closing(use)), expected), "\(use)")
            let report = transformer.loss(of: parameters, tokens: tokens, masking: closing(use))
            #expect(report.masks.count == masked.expertLayers.count)
            for tally in report.masks {
                #expect(tally.tokens == 34 && tally.live == 0)
                #expect(tally.empty == 34 && tally.invalid == 0)
            }
        }
        #expect(!sameBits(logits(masked, parameters, .off), expected))
    }

    // MARK: Gradients and the regulariser

    /// Behind the last masks there is nothing to go straight through: differences of the hard
    /// forward pass are true gradients there.
    @Test(
        "BEAM 8: what lies behind the masks has the gradients of the hard forward pass",
        arguments: ModelVariant.allCases)
    func behindTheMasks(variant: ModelVariant) {
        let masked = variant.applied(to: .tiny).withMasks
        let parameters: DoubleBuffer = masked.testParameters(seed: 91)
        var masking = Masking(.training)
        masking.coefficient = 0.3
        let text: [Int32] = [1, 5, 2, 6, 0, 3, 1, 2, 4, -1]
        let transformer = Transformer<Double>(configuration: masked, batch: 2, sequence: 4)
        let gradients = DoubleBuffer(count: parameters.count)
        let report = transformer.gradients(
            of: parameters, tokens: text, masking: masking, into: gradients)
        #expect(report == transformer.loss(of: parameters, tokens: text, masking: masking))
        let before = ["self_attn", "layernorm", "mask_router"]
        let behind = masked.layout.tensors.filter { tensor in
            tensor.name.hasPrefix("model.layers.1.")
                && !before.contains { tensor.name.contains($0) }
                || ["model.norm.weight", "lm_head.weight"].contains(tensor.name)
        }
        #expect(behind.count >= 5)
        for tensor in behind {
            let numeric = differences(by: parameters[tensor.range]) {
                transformer.loss(of: parameters, tokens: text, masking: masking).total(
                    loadBalancingCoefficient: masked.loadBalancingCoefficient, masking: masking)
            }
            let distance = relativeDistance(gradients[tensor.range].array, numeric)
            #expect(distance < 1e-6, "\(tensor.name) differs by \(distance)")
        }
    }

    @Test("BEAM 11: of fresh weights the regulariser is a half, of squares a quarter")
    func regulariserOfFreshWeights() {
        let fresh = ModelConfiguration.odd.withMasks
        let parameters = fresh.initialParameters(seed: 88)
        for (squares, expected) in [(false, 0.5), (true, 0.25)] {
            var masking = Masking(.training)
            masking.squares = squares
            masking.coefficient = 3
            let (report, _) = gradients(fresh, parameters, masking)
            #expect(report.softMask == expected)
            #expect(report.masks.allSatisfy { $0.live == 34 * 3 && $0.empty == 0 })
            let total = report.total(loadBalancingCoefficient: 0, masking: masking)
            #expect(abs(total - report.meanCrossEntropy - 3 * expected) < 1e-9)
            let (exact, _) = gradients(fresh, parameters.converted(to: Double.self), masking)
            #expect(exact.softMask == expected)
        }
    }

    /// In one layer only the regulariser depends on the mask router, as the cross-entropy sees the
    /// hard mask: what the regulariser adds to the gradient is then a true gradient.
    @Test("BEAM 11: the regulariser's gradient by the mask router", arguments: [false, true])
    func regulariserByDifferences(squares: Bool) {
        var masked = ModelConfiguration.tiny.withMasks
        masked.layers = 1
        masked.loadBalancingCoefficient = 0
        let parameters: DoubleBuffer = masked.testParameters(seed: 89)
        let range = masked.maskRouters[0].range
        let text: [Int32] = [1, 5, 2, 6, 0, 3, 1, 2, 4, -1]
        let transformer = Transformer<Double>(configuration: masked, batch: 2, sequence: 4)
        func gradient(_ masking: Masking) -> [Double] {
            let gradients = DoubleBuffer(count: parameters.count)
            _ = transformer.gradients(
                of: parameters, tokens: text, masking: masking, into: gradients)
            return gradients[range].array
        }
        var masking = Masking(.training)
        masking.squares = squares
        let without = gradient(masking)
        masking.coefficient = 0.3
        let found = zip(gradient(masking), without).map { $0 - $1 }
        let numeric = differences(by: parameters[range]) {
            transformer.loss(of: parameters, tokens: text, masking: masking).total(
                loadBalancingCoefficient: 0, masking: masking)
        }
        let distance = relativeDistance(found, numeric)
        #expect(distance < 1e-6, "\(distance)")
        #expect(without.contains { abs($0) > 1e-6 } && numeric.contains { abs($0) > 1e-6 })
    }

    private func differences(by input: DoubleBuffer, of loss: () -> Double) -> [Double] {
        let step = 1e-5
        return (0..<input.count).map { index -> Double in
            let before = input[index]
            input[index] = before + step
            let above = loss()
            input[index] = before - step
            let below = loss()
            input[index] = before
            return (above - below) / (2 * step)
        }
    }

    /// What fills up a row counts as token 0, which occurs nowhere else.
    @Test("BEAM 12: what fills up a row changes neither gradients nor report, whatever it is")
    func padding() throws {
        var masked = ModelConfiguration.odd.withMasks
        // This loss alone is of all rows.
        masked.loadBalancingCoefficient = 0
        let parameters: FloatBuffer = masked.testParameters(seed: 90, scale: 0.2)
        let embedding = try #require(masked.layout.tensor(named: "model.embed_tokens.weight"))
        let changed = parameters.duplicate()
        let first = embedding.range.lowerBound
        for index in first..<first + masked.hiddenSize { changed[index] = 0.3 - changed[index] }
        var masking = Masking(.training)
        masking.coefficient = 0.3
        let transformer = Transformer<Float>(configuration: masked, batch: 2, sequence: 8)
        func gradients(_ parameters: FloatBuffer, filler: Int32) -> (LossReport, [Float]) {
            let text: [Int32] =
                [5, 9, 12, 7, 33, filler, filler, filler, filler]
                + [61, 9, 2, 8, 80, 11, 44, filler, filler]
            let gradients = FloatBuffer(count: parameters.count)
            let report = transformer.gradients(
                of: parameters, tokens: text, masking: masking, into: gradients)
            return (report, gradients.array)
        }
        let (report, expected) = gradients(parameters, filler: -1)
        let (again, found) = gradients(changed, filler: -1)
        #expect(report.tokens == 10 && report.masks.allSatisfy { $0.tokens == 10 })
        #expect(again.crossEntropySum == report.crossEntropySum && again.masks == report.masks)
        #expect(found == expected)
        let row = embedding.range.lowerBound..<embedding.range.lowerBound + masked.hiddenSize
        #expect(expected[row].allSatisfy { $0 == 0 })
        // Token 0 in earnest: the change is felt.
        #expect(gradients(parameters, filler: 0).0.masks != gradients(changed, filler: 0).0.masks)
    }
}
