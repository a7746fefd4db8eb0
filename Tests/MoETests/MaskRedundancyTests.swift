import Tensors
import Testing

@testable import MoE

/// What masks keep and drop in one layer, the rest of BEAM's test 13.
///
/// The layer learns to go on giving what it gives with every slot open. Every token chooses all
/// four experts, and each of them writes to two channels of its own, so that no other one can stand
/// in for it; unless the second is a copy of the first. Then one of the two can go, as soon as the
/// router gives its weight to the other.
@Suite("BEAM 13: masks of experts that are needed, and of one that is not")
struct MaskRedundancyTests {
    private static let seeds: [UInt64] = [171, 172, 173]
    private static let M = MaskedLayer<Double>.rows
    /// Of which each token chooses all.
    private static let experts = 4
    private static let steps = 400

    // MARK: The layer

    /// A layer whose masks are zero, as they begin.
    private static func layer(seed: UInt64, withCopy: Bool) -> MaskedLayer<Double> {
        var configuration = ModelConfiguration.maskedLayer
        configuration.experts = experts
        configuration.expertsPerToken = experts
        let layer = MaskedLayer<Double>(configuration, seed: seed)
        for expert in 0..<experts { makeNeeded(expert, of: layer) }
        if withCopy {
            for (tensor, copy) in zip(tensors(of: 0, layer), tensors(of: 1, layer)) {
                copy.copy(from: tensor)
            }
        }
        // Nearer to each other than they come, so that no weight is too small to matter.
        let router_ED = layer.part(layer.names.router, of: layer.parameters)
        for index in 0..<router_ED.count { router_ED[index] /= 2 }
        layer.setMaskLogits { _, _ in 0 }
        return layer
    }

    /// What the gate, up and down projections of expert `expert` are made of.
    private static func tensors(
        of expert: Int, _ layer: MaskedLayer<Double>
    ) -> [Buffer<Double>] {
        let names = layer.names.expert(expert)
        return [names.gate, names.up, names.down].map { layer.part($0, of: layer.parameters) }
    }

    /// Makes expert `expert` give something to every token, of length 1 on average, and only in
    /// channels 2 e and 2 e + 1.
    private static func makeNeeded(_ expert: Int, of layer: MaskedLayer<Double>) {
        let D = layer.configuration.hiddenSize
        let F = layer.configuration.expertHiddenSize
        let found = tensors(of: expert, layer)
        // Channel m of token m is 1.
        for projection_FD in found[..<2] {
            for row in 0..<F {
                for token in 0..<M { projection_FD[row * D + token] += 2 }
            }
        }
        let down_DF = found[2]
        for channel in 0..<D where channel / 2 != expert {
            down_DF[channel * F..<(channel + 1) * F].clear()
        }
        let loops = MaskSurrogate(layer, Masking(.off))
        let outputs = (0..<M).flatMap { loops.output(ofExpert: expert, $0) }
        let length = (outputs.reduce(0) { $0 + $1 * $1 } / Double(M)).squareRoot()
        for index in 0..<down_DF.count { down_DF[index] /= length }
    }

    /// Half the squared distance of a token's output from what it should be, on average.
    private static func loss(_ y_MD: Buffer<Double>, _ target_MD: Buffer<Double>) -> Double {
        zip(y_MD.array, target_MD.array).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
            / Double(2 * M)
    }

    /// The least that closing one expert by itself costs, before anything is learnt.
    private static func leastCost(_ layer: MaskedLayer<Double>) -> Double {
        let target_MD = layer.forward(.off)
        let costs = (0..<experts).map { closed -> Double in
            layer.setMaskLogits { _, expert in expert == closed ? -1 : 1 }
            return loss(layer.forward(.training), target_MD)
        }
        layer.setMaskLogits { _, _ in 0 }
        return costs.min() ?? 0
    }

    // MARK: Learning

    /// What a layer was like in the last fifth of its steps.
    private struct Outcome {
        /// Shares of steps in which a token's slot at an expert was open [M,E].
        var open_ME = [Double](repeating: 0, count: M * experts)
        var loss = 0.0
        /// Live experts of a token, on average over tokens, in the step with fewest: of all steps.
        var fewest = Double(experts)

        var live: Double { open_ME.reduce(0, +) / Double(M) }

        /// Of both experts that may be copies, for token `token`.
        func pair(_ token: Int) -> [Double] {
            Array(open_ME[token * experts..<token * experts + 2])
        }

        /// Of expert `expert`, on average over tokens.
        func share(_ expert: Int) -> Double {
            (0..<M).reduce(0) { $0 + open_ME[$1 * experts + expert] } / Double(M)
        }
    }

    /// Learns masks and, unless told otherwise, the router, by plain descent; all else stays as it
    /// is.
    ///
    /// `coefficient` is the regulariser's, for each step.
    private static func learn(
        _ layer: MaskedLayer<Double>, learnsRouter: Bool = true, coefficient: (Int) -> Double
    ) -> Outcome {
        let counted = steps / 5
        let slots = M * experts
        let target_MD = layer.forward(.off)
        var outcome = Outcome()
        for step in 0..<steps {
            let pass = MaskingPass(
                Masking(.training), dsoft: coefficient(step) / Double(slots))
            let y_MD = layer.forward(pass)
            // An expert, or -1, for each slot.
            let live = layer.live
            outcome.fewest = min(outcome.fewest, Double(live.count { $0 >= 0 }) / Double(M))
            if step >= steps - counted {
                for (slot, expert) in live.enumerated() where expert >= 0 {
                    outcome.open_ME[slot / experts * experts + expert] += 1 / Double(counted)
                }
                outcome.loss += loss(y_MD, target_MD) / Double(counted)
            }
            let dy_MD = Buffer<Double>(count: y_MD.count)
            for index in 0..<dy_MD.count {
                dy_MD[index] = (y_MD[index] - target_MD[index]) / Double(M)
            }
            let gradients = layer.backward(pass, dy_MD: dy_MD).parameters
            descend(layer, layer.names.maskRouter, gradients, rate: 2)
            if learnsRouter { descend(layer, layer.names.router, gradients, rate: 4) }
        }
        return outcome
    }

    private static func descend(
        _ layer: MaskedLayer<Double>, _ name: String, _ gradients: Buffer<Double>, rate: Double
    ) {
        let values = layer.part(name, of: layer.parameters)
        let gradient = layer.part(name, of: gradients)
        for index in 0..<values.count { values[index] -= rate * gradient[index] }
    }

    // MARK: What is dropped, and what is kept

    @Test("Of two copies each token closes one, at little cost, before any other", arguments: seeds)
    func redundant(seed: UInt64) {
        let layer = Self.layer(seed: seed, withCopy: true)
        let cost = Self.leastCost(layer)
        let outcome = Self.learn(layer) { _ in 0.01 }
        for token in 0..<Self.M {
            let pair = outcome.pair(token)
            #expect(abs(pair[0] + pair[1] - 1) < 0.1, "token \(token): \(pair)")
            #expect(min(pair[0], pair[1]) < 0.1, "token \(token): \(pair)")
        }
        for expert in 2..<Self.experts { #expect(outcome.share(expert) > 0.6, "\(expert)") }
        #expect(outcome.loss < 0.2 * cost, "\(outcome.loss) of \(cost)")
        // Pushed harder, others follow.
        let pushed = Self.learn(Self.layer(seed: seed, withCopy: true)) { _ in 0.3 }
        for expert in 2..<Self.experts { #expect(pushed.share(expert) < 0.4, "\(expert)") }
        #expect(pushed.loss > cost, "\(pushed.loss) of \(cost)")
    }

    /// Copies whose weights can't change add up to what is wanted: neither is redundant.
    @Test(
        "By the same push experts that are needed stay: unlike ones, and copies of fixed weights",
        arguments: seeds, [false, true])
    func needed(seed: UInt64, areCopies: Bool) {
        let layer = Self.layer(seed: seed, withCopy: areCopies)
        let outcome = Self.learn(layer, learnsRouter: !areCopies) { _ in 0.01 }
        for expert in 0..<Self.experts { #expect(outcome.share(expert) > 0.7, "\(expert)") }
        #expect(outcome.live > 3.4, "\(outcome.live)")
        // From zero, the first step closes far more than that.
        #expect(outcome.fewest < 1)
    }

    @Test("Without the regulariser what it closed opens again, and stays open", arguments: seeds)
    func recovery(seed: UInt64) {
        let layer = Self.layer(seed: seed, withCopy: false)
        let cost = Self.leastCost(layer)
        let outcome = Self.learn(layer) { $0 < 10 ? 0.3 : 0 }
        #expect(outcome.fewest == 0)
        #expect(outcome.live > 3.9, "\(outcome.live)")
        #expect(outcome.loss < 0.05 * cost, "\(outcome.loss) of \(cost)")
    }
}
