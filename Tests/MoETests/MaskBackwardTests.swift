import Tensors
import Testing

@testable import MoE

/// Gradients that go straight through the masks of one layer of experts, in fp64.
@Suite struct MaskBackwardTests {
    private let M = MaskedLayer<Double>.rows
    private let D = ModelConfiguration.maskedLayer.hiddenSize
    private let K = ModelConfiguration.maskedLayer.expertsPerToken
    private let beta = 0.7

    private func masking(_ use: Masking.Use = .training, coefficient: Double) -> Masking {
        var masking = Masking(use)
        masking.coefficient = coefficient
        return masking
    }

    // MARK: Straight through

    enum Variant: CaseIterable {
        case plain, withoutTopKNorm, gatedShared, plainShared, grouped, squares, shifted, padded

        var configuration: ModelConfiguration {
            var configuration = ModelConfiguration.maskedLayer
            switch self {
            case .plain, .squares, .shifted, .padded: break
            case .withoutTopKNorm: configuration.normalizesTopK = false
            case .gatedShared: configuration.sharedExpertHiddenSize = 5
            case .plainShared:
                configuration.sharedExpertHiddenSize = 5
                configuration.gatesSharedExpert = false
            case .grouped:
                configuration.normalizesTopK = false
                configuration.routingGroups = 3
                configuration.routingGroupsChosen = 2
                configuration.routedScalingFactor = 2.5
            }
            return configuration
        }

        /// Of its layer, all tokens of which count unless some are padding.
        func surrogate(coefficient: Double) -> MaskSurrogate {
            var masking = Masking(.training)
            masking.coefficient = coefficient
            masking.squares = self == .squares
            if self == .shifted { (masking.bias, masking.threshold) = (0.3, 0.1) }
            let targets = self == .padded ? Buffer<Int32>([3, -1, 0, -1]) : nil
            return MaskSurrogate(
                MaskedLayer<Double>(configuration), masking, targets_M: targets)
        }
    }

    /// Never differences of the hard mask itself: by its logits they are 0, as the next test shows.
    @Test(
        "BEAM 8: gradients are those of the soft mask plus a constant that makes it hard",
        arguments: Variant.allCases)
    func straightThrough(variant: Variant) {
        let surrogate = variant.surrogate(coefficient: beta)
        let layer = surrogate.layer
        let (parameters, x_MD) = (layer.parameters, layer.x_MD)
        #expect(surrogate.margin > 1e-4, "no step may change a choice or a mask")
        let y_MD = layer.forward(surrogate.pass)
        let expected = (0..<M).flatMap { surrogate.output($0, surrogate.route($0), .hard) }
        #expect(relativeDistance(y_MD.array, expected) < 1e-12)
        #expect(layer.live.contains(-1) && layer.live.contains { $0 >= 0 })

        let mask = surrogate.straightThrough
        #expect(abs(surrogate.value(mask) - surrogate.value(.hard)) < 1e-12)
        let gradients = surrogate.gradients()
        for tensor in layer.layout.tensors where tensor.name.hasPrefix("model.layers.0.mlp.") {
            let numeric = surrogate.differences(by: parameters[tensor.range], mask)
            let distance = relativeDistance(gradients.parameters[tensor.range].array, numeric)
            #expect(distance < 1e-6, "\(tensor.name) differs by \(distance)")
        }
        let distance = relativeDistance(
            gradients.x_MD.array, surrogate.differences(by: x_MD, mask))
        #expect(distance < 1e-6, "x differs by \(distance)")
        for name in [layer.names.router, layer.names.maskRouter] {
            #expect(layer.part(name, of: gradients.parameters).array.contains { $0 != 0 })
        }
    }

    @Test("BEAM 8: by the mask router, the hard forward pass itself does not change")
    func hardDifferencesAreZero() {
        let layer = MaskedLayer<Double>()
        let surrogate = MaskSurrogate(layer, masking(coefficient: 0))
        let y_MD = layer.forward(.training)
        let mask_ED = layer.part(layer.names.maskRouter, of: layer.parameters)
        #expect(surrogate.differences(by: mask_ED, .hard).allSatisfy { $0 == 0 })
        for index in 0..<mask_ED.count {
            let before = mask_ED[index]
            for step in [1e-5, -1e-5] {
                mask_ED[index] = before + step
                #expect(sameBits(layer.forward(.training), y_MD))
            }
            mask_ED[index] = before
        }
        let gradient = layer.part(layer.names.maskRouter, of: surrogate.gradients().parameters)
        #expect(gradient.array.contains { abs($0) > 1e-6 })
    }

    @Test("BEAM 9: of a loss linear in the output, the mask's gradient is that of the soft mask")
    func linearLoss() {
        let layer = MaskedLayer<Double>()
        var surrogate = MaskSurrogate(layer, masking(coefficient: beta))
        func distance(_ name: String) -> Double {
            relativeDistance(
                layer.part(name, of: surrogate.gradients().parameters).array,
                surrogate.differences(by: layer.part(name, of: layer.parameters), .soft))
        }
        surrogate.curvature = 0
        #expect(distance(layer.names.maskRouter) < 1e-7)
        // The router's is not: its experts' outputs come through the hard mask.
        #expect(distance(layer.names.router) > 1e-2)
        surrogate.curvature = 1
        #expect(distance(layer.names.maskRouter) > 1e-3, "but only of a linear one")
    }

    // MARK: Closed slots

    @Test("BEAM 10: a closed expert learns nothing, its mask does, unless its slots are skipped")
    func closedExpert() {
        let layer = MaskedLayer<Double>()
        layer.forward(.off)
        let closed = layer.chosen[0]
        layer.setMaskLogits { _, expert in expert == closed ? -1 : 1 }
        func gradients(_ use: Masking.Use, _ coefficient: Double) -> Buffer<Double> {
            MaskSurrogate(layer, masking(use, coefficient: coefficient)).gradients().parameters
        }
        func mask(_ gradients: Buffer<Double>) -> [Double] {
            layer.part(layer.names.maskRouter, of: gradients)[closed * D..<(closed + 1) * D].array
        }
        func expert(_ index: Int, _ gradients: Buffer<Double>) -> [Double] {
            let names = layer.names.expert(index)
            return [names.gate, names.up, names.down].flatMap {
                layer.part($0, of: gradients).array
            }
        }
        let (whole, skipped) = (gradients(.training, beta), gradients(.skipping, beta))
        for found in [whole, skipped] { #expect(expert(closed, found).allSatisfy { $0 == 0 }) }
        for index in Set(layer.chosen).subtracting([closed]).sorted() {
            #expect(expert(index, whole).contains { $0 != 0 })
            #expect(expert(index, whole) == expert(index, skipped))
        }
        // The regulariser alone: a loss that does not look at the output.
        let pass = MaskSurrogate(layer, masking(coefficient: beta)).pass
        layer.forward(pass)
        let alone = layer.backward(pass, dy_MD: Buffer<Double>(count: M * D)).parameters
        #expect(mask(alone).contains { $0 != 0 })
        #expect(relativeDistance(mask(whole), mask(alone)) > 1e-2)
        #expect(mask(skipped) == mask(alone), "skipped, it is only pushed further shut")
        #expect(mask(gradients(.training, 0)).contains { abs($0) > 1e-6 })
        #expect(mask(gradients(.skipping, 0)).allSatisfy { $0 == 0 })
    }

    // MARK: What counts

    @Test(
        "BEAM 11: the regulariser's gradient by a mask logit is beta m (1 - m) / (K n)",
        arguments: [false, true])
    func regulariser(squares: Bool) {
        let layer = MaskedLayer<Double>()
        let E = layer.configuration.experts
        var masking = masking(coefficient: beta)
        masking.squares = squares
        let targets: [Int32] = [3, -1, 0, 5]
        let pass = MaskSurrogate(layer, masking, targets_M: Buffer(targets)).pass
        layer.forward(pass)
        let chosen = layer.chosen
        let soft = layer.kept.routing.mask?.soft_MK.array ?? []
        _ = layer.backward(pass, dy_MD: Buffer<Double>(count: M * D))
        // Where the logits were; those of the mask router are behind those of the router.
        let dlogits = layer.kept.routing.logits_ME.array
        for token in 0..<M {
            for expert in 0..<E {
                var expected = 0.0
                let slot = chosen[token * K..<(token + 1) * K].firstIndex(of: expert)
                if let slot, targets[token] >= 0 {
                    let m = soft[slot]
                    let slope = squares ? 2 * m : 1
                    expected = beta / Double(3 * K) * slope * m * (1 - m)
                }
                #expect(abs(dlogits[token * 2 * E + E + expert] - expected) < 1e-15)
                #expect(dlogits[token * 2 * E + expert] == 0)
            }
        }
    }

    @Test("BEAM 12: the mask of an expert that nobody chose has no gradient")
    func neverChosen() {
        var configuration = ModelConfiguration.maskedLayer
        configuration.experts = 16
        let layer = MaskedLayer<Double>(configuration)
        let surrogate = MaskSurrogate(layer, masking(coefficient: beta))
        let gradient = layer.part(layer.names.maskRouter, of: surrogate.gradients().parameters)
        for expert in 0..<16 {
            let row = gradient[expert * D..<(expert + 1) * D].array
            #expect(row.allSatisfy { $0 == 0 } == !layer.chosen.contains(expert))
        }
    }

    @Test("BEAM 12: a token of padding counts for nothing, whatever it is")
    func padding() {
        let layer = MaskedLayer<Double>()
        let surrogate = MaskSurrogate(
            layer, masking(coefficient: beta), targets_M: Buffer<Int32>([3, -1, 5, -1]))
        let padding = [1, 3]
        var numbers = TestNumbers(seed: 79)
        // The loss of a token without target has no gradient.
        let dy_MD = Buffer<Double>(count: M * D)
        for index in 0..<M * D where !padding.contains(index / D) { dy_MD[index] = numbers.next() }
        func gradients(
            _ pass: MaskingPass
        ) -> (x_MD: [Double], parameters: [Double], tally: MaskTally?) {
            layer.forward(pass)
            let tally = layer.tally
            let found = layer.backward(pass, dy_MD: dy_MD)
            return (found.x_MD.array, found.parameters.array, tally)
        }
        let everyone = MaskSurrogate(layer, masking(coefficient: beta)).pass
        let (before, all) = (gradients(surrogate.pass), gradients(everyone))
        for token in padding {
            #expect(before.x_MD[token * D..<(token + 1) * D].allSatisfy { $0 == 0 })
            for channel in 0..<D { layer.x_MD[token * D + channel] = numbers.next() }
        }
        let (after, allAfter) = (gradients(surrogate.pass), gradients(everyone))
        #expect(before.tally?.tokens == 2 && after.tally == before.tally)
        #expect(after.parameters == before.parameters && after.x_MD == before.x_MD)
        #expect(before.parameters.contains { $0 != 0 })
        #expect(allAfter.tally != all.tally && allAfter.parameters != all.parameters)
    }
}
