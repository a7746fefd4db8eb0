import Tensors

@testable import MoE

extension ModelConfiguration {
    /// The same model with a mask router in each layer that has experts.
    var withMasks: ModelConfiguration {
        var masked = self
        masked.masksExperts = true
        return masked
    }

    /// The mask routers' tensors, one of each layer with experts.
    var maskRouters: [ParameterLayout.Tensor] {
        layout.tensors.filter { $0.name.hasSuffix(ParameterName.maskRouterSuffix) }
    }

    /// One layer, for ``MaskedLayer``.
    static var maskedLayer: ModelConfiguration {
        var configuration = ModelConfiguration(
            vocabularySize: 2, hiddenSize: 8, layers: 1, heads: 1, keyValueHeads: 1, headWidth: 2,
            experts: 6, expertsPerToken: 3, expertHiddenSize: 3, positionsMax: 4)
        configuration.masksExperts = true
        return configuration
    }
}

/// One layer of experts by itself, whose mask logits a test can set one by one.
///
/// The first M channels of token m are 0, but for channel m, which is 1: a mask router that looks
/// at these alone has exactly the logits that it is given.
struct MaskedLayer<Element: KernelElement & BinaryFloatingPoint> where Element.Sum == Element {
    /// M.
    static var rows: Int { 4 }

    let configuration: ModelConfiguration
    let layout: ParameterLayout
    /// Of the whole model; only those of the experts matter.
    let parameters: Buffer<Element>
    let x_MD: Buffer<Element>
    let kept: ExpertsActivations<Element>
    private let operations: Operations<Element>
    private let places: ModelPlaces
    private let experts: Experts<Element>
    private let scratch: ExpertsScratch<Element>

    init(
        _ configuration: ModelConfiguration = .maskedLayer, seed: UInt64 = 71,
        operations: Operations<Element> = Element.operations
    ) {
        let (M, D) = (Self.rows, configuration.hiddenSize)
        precondition(M < D && configuration.layers == 1 && configuration.masksExperts)
        self.configuration = configuration
        self.operations = operations
        layout = configuration.layout
        parameters = configuration.testParameters(seed: seed)
        var numbers = TestNumbers(seed: seed + 1)
        x_MD = Buffer(count: M * D)
        for token in 0..<M {
            for channel in 0..<D {
                let mark: Element = channel == token ? 1 : 0
                x_MD[token * D + channel] = channel < M ? mark : Element(numbers.next())
            }
        }
        places = ModelPlaces(configuration)
        experts = Experts(configuration, operations: operations)
        var plan = ActivationPlan()
        let totals = RoutingTotals(configuration, layers: 1, plan: &plan)
        let rows_RD: Buffer<Element> = plan.buffer(M * configuration.expertsPerToken * D)
        kept = ExpertsActivations(
            configuration, rows: M, totals: totals, rows_RD: rows_RD, plan: &plan)
        scratch = ExpertsScratch(configuration, rows: M, plan: &plan)
    }

    /// What the masks left in the last forward pass.
    var tally: MaskTally? { kept.routing.mask?.tally[0] }
    /// The experts [M,K] that the tokens chose in the last forward pass.
    var chosen: [Int] { kept.routing.chosen_MK.array.map { Int($0) } }
    /// What is live of them, -1 where closed.
    var live: [Int] { kept.routing.mask.map { $0.live_MK.array.map { Int($0) } } ?? [] }

    /// A view of the numbers of `flat` that belong to the tensor called `name`.
    func part(_ name: String, of flat: Buffer<Element>) -> Buffer<Element> {
        guard let tensor = layout.tensor(named: name) else {
            preconditionFailure("no tensor \(name)")
        }
        return flat[tensor.range]
    }

    /// Names of the layer's tensors.
    var names: LayerTensorNames { LayerTensorNames(layer: 0, family: configuration.family) }

    /// Makes `logit(m, e)` the mask logit of token m for expert e.
    func setMaskLogits(_ logit: (_ token: Int, _ expert: Int) -> Double) {
        let mask_ED = part(names.maskRouter, of: parameters)
        let D = configuration.hiddenSize
        mask_ED.clear()
        for expert in 0..<configuration.experts {
            for token in 0..<Self.rows {
                mask_ED[expert * D + token] = Element(logit(token, expert))
            }
        }
    }

    /// y_MD, in memory of its own; there is NaN in all memory before.
    @discardableResult
    func forward(_ pass: MaskingPass) -> Buffer<Element> {
        spoil()
        let y_MD = Buffer<Element>(count: x_MD.count)
        y_MD.fill(.nan)
        experts.forward(
            rows: Self.rows, x_MD: x_MD, weights: weights(in: parameters), activations: kept,
            masking: pass, y_MD: y_MD)
        return y_MD
    }

    /// As ``forward(_:)`` where all tokens count and nothing else than `use` is set.
    @discardableResult
    func forward(_ use: Masking.Use) -> Buffer<Element> { forward(MaskingPass(Masking(use))) }

    /// Gradients by x and by all parameters, from that by the output of the last forward pass.
    func backward(
        _ pass: MaskingPass, dy_MD: Buffer<Element>, dprobability_E: Buffer<Double>? = nil
    ) -> (x_MD: Buffer<Element>, parameters: Buffer<Element>) {
        let dx_MD = Buffer<Element>(count: x_MD.count)
        dx_MD.fill(.nan)
        let dparameters = Buffer<Element>(count: parameters.count)
        experts.backward(
            rows: Self.rows, x_MD: x_MD, weights: weights(in: parameters), activations: kept,
            masking: pass, dy_MD: dy_MD,
            dprobability_E: dprobability_E ?? Buffer<Double>(count: configuration.experts),
            dx_MD: dx_MD, dweights: weights(in: dparameters), scratch: scratch)
        return (dx_MD, dparameters)
    }

    /// What the shared expert gives by itself [M,D]: zeros without one.
    func sharedOutput() -> Buffer<Element> {
        let y_MD = Buffer<Element>(count: x_MD.count)
        guard let shared = weights(in: parameters).shared, let room = kept.shared else {
            return y_MD
        }
        SharedExpert(configuration, operations: operations).forward(
            rows: Self.rows, x_MD: x_MD, weights: shared, activations: room, y_MD: y_MD)
        return y_MD
    }

    private func weights(in flat: Buffer<Element>) -> ExpertsWeights<Element> {
        guard case .experts(let weights) = places.weights(in: flat).layers[0].feedForward else {
            preconditionFailure("a dense layer")
        }
        return weights
    }

    /// Fills whatever a forward pass writes with what must not be seen again.
    private func spoil() {
        let routing = kept.routing
        var numbers = [kept.buffers.gate, kept.buffers.up, kept.buffers.hidden, kept.buffers.rows]
        numbers += [routing.logits_ME, routing.probabilities_ME, routing.weights_MK]
        var indices = [routing.chosen_MK, kept.dispatch.rowOfSlot, kept.dispatch.slotOfRow]
        if let mask = routing.mask {
            numbers += [mask.soft_MK, mask.masked_MK]
            indices.append(mask.live_MK)
        }
        if let shared = kept.shared {
            let mlp = shared.mlp.buffers
            numbers += [mlp.gate, mlp.up, mlp.hidden, shared.y_MD, shared.sigmoid_M]
        }
        for buffer in numbers { buffer.fill(.nan) }
        for buffer in indices { buffer.fill(0) }
    }
}
