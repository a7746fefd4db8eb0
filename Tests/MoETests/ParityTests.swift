import FoundationEssentials
import MoE
import Storage
import Tensors
import Testing

/// Checkpoints of every family, and of their options, against what `transformers` computes in fp32.
@Suite struct ParityTests {
    /// Hidden states before each layer and at the end, router logits, logits.
    @Test(arguments: ParityFixture.all)
    func everyStepOfTheWay(name: String) throws {
        let fixture = try ParityFixture(name)
        let transformer = Transformer<Float>(
            configuration: fixture.configuration, batch: fixture.batch, sequence: fixture.length)
        let trace = transformer.trace(of: fixture.parameters, tokens: fixture.tokens)
        #expect(trace.hidden.count == fixture.configuration.layers + 1)
        #expect(trace.routerLogits.count == fixture.configuration.expertLayers.count)
        for (index, hidden) in trace.hidden.enumerated() {
            try fixture.expectEqual(hidden, "hidden_\(index)")
        }
        for (index, logits) in trace.routerLogits.enumerated() {
            try fixture.expectEqual(logits, "router_logits_\(index)")
        }
        try fixture.expectEqual(trace.logits_MV, "logits")
    }

    @Test(arguments: ParityFixture.all)
    func lossAndEveryGradient(name: String) throws {
        let fixture = try ParityFixture(name)
        let transformer = fixture.trainingTransformer()
        let found = FloatBuffer(count: fixture.parameters.count)
        let report = transformer.gradients(
            of: fixture.parameters, tokens: fixture.tokens, into: found)
        let loss = Double(try fixture.reference.floats("loss")[0])
        #expect(report.tokens == fixture.batch * (fixture.length - 1))
        #expect(abs(report.meanCrossEntropy / loss - 1) < 1e-6)
        for tensor in fixture.configuration.layout.tensors {
            let distance = relativeDistance(
                found[tensor.range].array, try fixture.gradient(tensor.name))
            #expect(distance < 1e-5, "\(tensor.name) differs by \(distance)")
        }
    }

    /// The loss over all layers with experts, and its gradient by each router.
    @Test(arguments: ParityFixture.balanced)
    func loadBalancing(name: String) throws {
        let fixture = try ParityFixture(name)
        let layout = fixture.configuration.layout
        let plain = FloatBuffer(count: layout.count)
        let balanced = FloatBuffer(count: layout.count)
        _ = fixture.trainingTransformer().gradients(
            of: fixture.parameters, tokens: fixture.tokens, into: plain)
        // So large that the difference is not lost beside the other gradient.
        let coefficient = 10.0
        let report = fixture.trainingTransformer(loadBalancing: coefficient).gradients(
            of: fixture.parameters, tokens: fixture.tokens, into: balanced)
        let expected = Double(try fixture.reference.floats("aux_loss")[0])
        #expect(abs(report.loadBalancing / expected - 1) < 1e-6)
        let routers = layout.tensors.filter { $0.name.hasSuffix(".gate.weight") }
        #expect(routers.count == fixture.configuration.expertLayers.count)
        for (index, router) in routers.enumerated() {
            let difference = router.range.map {
                (Double(balanced[$0]) - Double(plain[$0])) / coefficient
            }
            let gradient = try fixture.reference.floats("aux_grad_\(index)").array
            let distance = relativeDistance(difference, gradient.map { Double($0) })
            #expect(distance < 1e-4, "\(router.name) differs by \(distance)")
        }
    }

    /// AdamW as PyTorch's, on every parameter: five steps on one batch.
    @Test(arguments: ParityFixture.all)
    func fiveSteps(name: String) throws {
        let fixture = try ParityFixture(name)
        let transformer = fixture.trainingTransformer()
        let count = fixture.parameters.count
        let derivatives = FloatBuffer(count: count)
        let first = FloatBuffer(count: count)
        let second = FloatBuffer(count: count)
        let (beta1, beta2): (Float, Float) = (0.9, 0.95)
        var (power1, power2): (Float, Float) = (1, 1)
        for expected in try fixture.reference.floats("adamw_losses").array {
            let report = transformer.gradients(
                of: fixture.parameters, tokens: fixture.tokens, into: derivatives)
            let distance = abs(report.meanCrossEntropy / Double(expected) - 1)
            #expect(distance < 1e-5, "the loss differs by \(distance)")
            power1 *= beta1
            power2 *= beta2
            fixture.parameters.applyAdamW(
                gradients: derivatives, firstMoment: first, secondMoment: second,
                step: AdamWStep(
                    learningRate: 1e-3, beta1: beta1, beta2: beta2, epsilon: 1e-8,
                    weightDecay: 0.1, correction1: 1 - power1, correction2: 1 - power2))
        }
    }
}

extension ParityFixture {
    /// For all but the last token of each sequence, which is a target only.
    fileprivate func trainingTransformer(
        loadBalancing coefficient: Double = 0
    ) -> Transformer<Float> {
        var configuration = configuration
        configuration.loadBalancingCoefficient = coefficient
        return Transformer(configuration: configuration, batch: batch, sequence: length - 1)
    }
}
