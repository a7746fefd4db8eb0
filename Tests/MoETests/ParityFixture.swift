import FoundationEssentials
import MoE
import Storage
import Tensors
import Testing

/// A random-weight checkpoint in Tests/Fixtures, and what `transformers` computes from it.
struct ParityFixture {
    /// One checkpoint of each family, and small ones with the options that those lack; the
    /// docstrings in make_variants.py say which.
    static let all = [
        "qwen3_moe", "qwen2_moe", "olmoe", "mixtral", "deepseek_v2", "qwen3_yarn",
        "qwen3_sparse", "qwen2_dense", "olmoe_biased", "mixtral_wide", "deepseek_grouped",
        "deepseek_lite",
    ]
    /// Those of them for which there is a load-balancing loss to compare with.
    static let balanced = [
        "qwen3_yarn", "qwen3_sparse", "qwen2_dense", "olmoe_biased", "mixtral_wide",
    ]

    let configuration: ModelConfiguration
    let parameters: FloatBuffer
    /// Of the loss without load balancing, under the checkpoint's own names.
    let gradients: SafetensorsFolder
    let reference: SafetensorsFile
    /// Sequences of equal length, one behind the other.
    let tokens: [Int32]
    let batch: Int

    init(_ name: String) throws {
        let folder = fixtureFolder.appendingPathComponent(name)
        let json = try Data(contentsOf: folder.appendingPathComponent("config.json"))
        var configuration = try ModelConfiguration(configurationJSON: json)
        // The reference was computed without the load-balancing loss.
        configuration.loadBalancingCoefficient = 0
        self.configuration = configuration
        let weights = try SafetensorsFolder(path: folder.path)
        let layout = configuration.layout
        parameters = FloatBuffer(count: layout.count)
        #expect(weights.tensorNames == layout.tensors.map(\.name).sorted())
        for tensor in layout.tensors {
            let file = try weights.file(holding: tensor.name)
            #expect(file.header.tensor(named: tensor.name)?.shape == tensor.shape)
            try file.read(tensor.name, into: parameters[tensor.range])
        }
        gradients = try SafetensorsFolder(path: folder.appendingPathComponent("grads").path)
        reference = try SafetensorsFile(
            path: folder.appendingPathComponent("reference.safetensors").path)
        tokens = try reference.values("input_ids", of: Int64.self).array.map { Int32($0) }
        batch = try reference.tensor(named: "input_ids").shape[0]
    }

    /// Tokens of each sequence.
    var length: Int { tokens.count / batch }

    func gradient(_ name: String) throws -> [Float] {
        try gradients.file(holding: name).floats(name).array
    }

    /// Expects `found` to be the reference's tensor `name`, and returns how far it is.
    @discardableResult
    func expectEqual(
        _ found: FloatBuffer, _ name: String, within bound: Double = 1e-5
    ) throws -> Double {
        let distance = relativeDistance(found.array, try reference.floats(name).array)
        #expect(distance < bound, "\(name) differs by \(distance)")
        return distance
    }
}

/// Tests/Fixtures.
let fixtureFolder = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("Fixtures")
