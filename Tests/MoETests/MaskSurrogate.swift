import Tensors

@testable import MoE

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// A loss of one layer of experts, computed in plain loops with any mask: the oracle of gradients
/// that go straight through a hard one.
///
/// It is the sum of slopes times y and of half the curvature times y squared, of slopes times the
/// router's probabilities, and of the regulariser.
struct MaskSurrogate {
    /// What a slot's routing weight is multiplied by.
    enum Mask {
        /// 1 from the threshold on, else 0: what the layer does.
        case hard
        /// The sigmoid of the mask logit.
        case soft
        /// The sigmoid plus constants [M,K], see ``straightThrough``.
        case surrogate(constants_MK: [Double])
    }

    /// One token's way through both routers.
    struct Route {
        let probabilities_E: [Double]
        /// The chosen experts, the most probable first, their weights and mask logits.
        let chosen_K: [Int]
        let weights_K: [Double]
        let maskLogits_K: [Double]
    }

    let layer: MaskedLayer<Double>
    let masking: Masking
    var curvature = 1.0
    private let targets_M: Buffer<Int32>?
    private let slopes_MD: Buffer<Double>
    private let slopes_E: Buffer<Double>

    init(
        _ layer: MaskedLayer<Double>, _ masking: Masking, targets_M: Buffer<Int32>? = nil,
        seed: UInt64 = 73
    ) {
        self.layer = layer
        self.masking = masking
        self.targets_M = targets_M
        var numbers = TestNumbers(seed: seed)
        slopes_MD = Buffer<Double>(count: layer.x_MD.count)
        slopes_E = Buffer<Double>(count: layer.configuration.experts)
        for slopes in [slopes_MD, slopes_E] {
            for index in 0..<slopes.count { slopes[index] = numbers.next() }
        }
    }

    /// What the layer is told of the masks: the regulariser is a mean over slots that count.
    var pass: MaskingPass {
        let counted = (0..<MaskedLayer<Double>.rows).count(where: counts)
        let slots = Double(counted * layer.configuration.expertsPerToken)
        return MaskingPass(
            masking, targets_M: targets_M, dsoft: masking.coefficient / slots)
    }

    private func counts(_ token: Int) -> Bool { targets_M.map { $0[token] >= 0 } ?? true }

    // MARK: The loss

    func value(_ mask: Mask) -> Double {
        let D = layer.configuration.hiddenSize
        let dsoft = pass.dsoft
        var value = 0.0
        for token in 0..<MaskedLayer<Double>.rows {
            let route = route(token)
            for (channel, y) in output(token, route, mask).enumerated() {
                value += slopes_MD[token * D + channel] * y + curvature / 2 * y * y
            }
            for (expert, p) in route.probabilities_E.enumerated() { value += slopes_E[expert] * p }
            for z in route.maskLogits_K where counts(token) {
                let soft = sigmoid(z)
                value += dsoft * (masking.squares ? soft * soft : soft)
            }
        }
        return value
    }

    /// Of token `token`, the sum of its experts' outputs and the shared expert's.
    func output(_ token: Int, _ route: Route, _ mask: Mask) -> [Double] {
        let x = input(token)
        var sum = [Double](repeating: 0, count: x.count)
        for (slot, expert) in route.chosen_K.enumerated() {
            let z = route.maskLogits_K[slot]
            let open: Double
            switch mask {
            case .hard: open = z >= masking.threshold ? 1 : 0
            case .soft: open = sigmoid(z)
            case .surrogate(let constants):
                open = sigmoid(z) + constants[token * route.chosen_K.count + slot]
            }
            add(open * route.weights_K[slot], mlp(layer.names.expert(expert), x), to: &sum)
        }
        guard layer.configuration.sharedExpertHiddenSize > 0 else { return sum }
        let isGated = layer.configuration.gatesSharedExpert
        let gate = isGated ? sigmoid(product(layer.names.sharedExpertGate, x)[0]) : 1
        add(gate, mlp(layer.names.sharedExpert, x), to: &sum)
        return sum
    }

    /// What expert `expert` gives for token `token`, before its weight.
    func output(ofExpert expert: Int, _ token: Int) -> [Double] {
        mlp(layer.names.expert(expert), input(token))
    }

    /// The experts that token `token` chooses: the most probable of the groups with the best ones.
    func route(_ token: Int) -> Route {
        let configuration = layer.configuration
        let x = input(token)
        let powers = product(layer.names.router, x).map { exp($0) }
        let total = powers.reduce(0, +)
        let p = powers.map { $0 / total }
        let size = configuration.experts / configuration.routingGroups
        let best = (0..<configuration.routingGroups).map { group in
            p[group * size..<(group + 1) * size].max() ?? 0
        }
        let groups = best.indices.sorted { best[$0] > best[$1] }
            .prefix(configuration.routingGroupsChosen)
        let chosen = p.indices.filter { groups.contains($0 / size) }.sorted { p[$0] > p[$1] }
            .prefix(configuration.expertsPerToken)
        let ofChosen = chosen.reduce(0.0) { $0 + p[$1] }
        let divisor = configuration.normalizesTopK ? ofChosen : 1
        let z = product(layer.names.maskRouter, x)
        return Route(
            probabilities_E: p, chosen_K: Array(chosen),
            weights_K: chosen.map { configuration.routedScalingFactor * p[$0] / divisor },
            maskLogits_K: chosen.map { z[$0] + masking.bias })
    }

    // MARK: Gradients

    /// The surrogate's mask at these parameters: the value of the hard one, the slope of the soft.
    var straightThrough: Mask {
        .surrogate(
            constants_MK: (0..<MaskedLayer<Double>.rows).flatMap { token in
                route(token).maskLogits_K.map { z in
                    (z >= masking.threshold ? 1.0 : 0.0) - sigmoid(z)
                }
            })
    }

    /// How far the parameters are from any other choice of an expert or of a mask.
    var margin: Double {
        let gaps = (0..<MaskedLayer<Double>.rows).flatMap { token -> [Double] in
            let route = route(token)
            let p = route.probabilities_E.sorted()
            return zip(p.dropFirst(), p).map { $0 - $1 }
                + route.maskLogits_K.map { abs($0 - masking.threshold) }
        }
        return gaps.min() ?? 0
    }

    /// By x and by all parameters, as the layer computes them.
    func gradients() -> (x_MD: Buffer<Double>, parameters: Buffer<Double>) {
        let y_MD = layer.forward(pass)
        let dy_MD = Buffer<Double>(count: y_MD.count)
        for index in 0..<y_MD.count { dy_MD[index] = slopes_MD[index] + curvature * y_MD[index] }
        return layer.backward(pass, dy_MD: dy_MD, dprobability_E: slopes_E)
    }

    /// Central differences by every element of `input`, which is x or a part of the parameters.
    func differences(by input: Buffer<Double>, _ mask: Mask) -> [Double] {
        let step = 1e-5
        return (0..<input.count).map { index -> Double in
            let before = input[index]
            input[index] = before + step
            let above = value(mask)
            input[index] = before - step
            let below = value(mask)
            input[index] = before
            return (above - below) / (2 * step)
        }
    }

    // MARK: Loops

    private func input(_ token: Int) -> [Double] {
        let D = layer.configuration.hiddenSize
        return layer.x_MD[token * D..<(token + 1) * D].array
    }

    private func mlp(_ names: MLPTensorNames, _ x: [Double]) -> [Double] {
        let gate = product(names.gate, x)
        let up = product(names.up, x)
        return product(names.down, zip(gate, up).map { g, u in g * sigmoid(g) * u })
    }

    /// The matrix called `name` times `x`.
    private func product(_ name: String, _ x: [Double]) -> [Double] {
        let matrix = layer.part(name, of: layer.parameters)
        return (0..<matrix.count / x.count).map { row -> Double in
            x.indices.reduce(0) { $0 + matrix[row * x.count + $1] * x[$1] }
        }
    }

    private func add(_ factor: Double, _ values: [Double], to sum: inout [Double]) {
        for index in sum.indices { sum[index] += factor * values[index] }
    }
}

/// 1 / (1 + e^-x).
func sigmoid(_ x: Double) -> Double { 1 / (1 + exp(-x)) }
