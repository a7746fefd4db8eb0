import FoundationEssentials
import MoE
import Storage
import Tensors
import Testing

/// A random-weight Qwen3-MoE checkpoint, and what `transformers` computes from it.
@Suite struct ParityTests {
    private let configuration: ModelConfiguration
    private let parameters: FloatBuffer
    private let gradients: SafetensorsFile
    private let reference: SafetensorsFile

    init() throws {
        let folder = fixtureFolder.appendingPathComponent("qwen3_moe")
        let json = try Data(contentsOf: folder.appendingPathComponent("config.json"))
        var configuration = try ModelConfiguration(configurationJSON: json)
        // The reference was computed without the load-balancing loss.
        configuration.loadBalancingCoefficient = 0
        self.configuration = configuration
        let weights = try SafetensorsFile(
            path: folder.appendingPathComponent("model.safetensors").path)
        parameters = FloatBuffer(count: configuration.layout.count)
        let layout = configuration.layout
        #expect(Set(weights.header.tensors.map(\.name)) == Set(layout.tensors.map(\.name)))
        for tensor in layout.tensors {
            #expect(weights.header.tensor(named: tensor.name)?.shape == tensor.shape)
            try weights.read(tensor.name, into: parameters[tensor.range])
        }
        gradients = try SafetensorsFile(
            path: folder.appendingPathComponent("grads/model.safetensors").path)
        reference = try SafetensorsFile(
            path: folder.appendingPathComponent("reference.safetensors").path)
    }

    /// Two sequences of 48.
    private func tokens() throws -> [Int32] {
        try reference.values("input_ids", of: Int64.self).array.map { Int32($0) }
    }

    @Test func logits() throws {
        let transformer = Transformer<Float>(configuration: configuration, batch: 2, sequence: 48)
        let logits = transformer.logits(of: parameters, tokens: try tokens())
        let distance = relativeDistance(logits.array, try reference.floats("logits").array)
        #expect(distance < 1e-5, "logits differ by \(distance)")
    }

    @Test func lossAndEveryGradient() throws {
        let transformer = Transformer<Float>(configuration: configuration, batch: 2, sequence: 47)
        let found = FloatBuffer(count: parameters.count)
        let report = transformer.gradients(of: parameters, tokens: try tokens(), into: found)
        let loss = Double(try reference.floats("loss")[0])
        #expect(report.tokens == 94)
        #expect(abs(report.meanCrossEntropy / loss - 1) < 1e-6)
        for tensor in configuration.layout.tensors {
            let expected = try gradients.floats(tensor.name).array
            let distance = relativeDistance(found[tensor.range].array, expected)
            #expect(distance < 1e-5, "\(tensor.name) differs by \(distance)")
        }
    }

    /// AdamW as PyTorch's, on every parameter: five steps on one batch.
    @Test func fiveSteps() throws {
        let transformer = Transformer<Float>(configuration: configuration, batch: 2, sequence: 47)
        let count = parameters.count
        let derivatives = FloatBuffer(count: count)
        let first = FloatBuffer(count: count)
        let second = FloatBuffer(count: count)
        let (beta1, beta2): (Float, Float) = (0.9, 0.95)
        var (power1, power2): (Float, Float) = (1, 1)
        for expected in try reference.floats("adamw_losses").array {
            let report = transformer.gradients(
                of: parameters, tokens: try tokens(), into: derivatives)
            #expect(abs(report.meanCrossEntropy / Double(expected) - 1) < 1e-5)
            power1 *= beta1
            power2 *= beta2
            parameters.applyAdamW(
                gradients: derivatives, firstMoment: first, secondMoment: second,
                step: AdamWStep(
                    learningRate: 1e-3, beta1: beta1, beta2: beta2, epsilon: 1e-8,
                    weightDecay: 0.1, correction1: 1 - power1, correction2: 1 - power2))
        }
    }
}

/// Tests/Fixtures.
let fixtureFolder = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("Fixtures")
