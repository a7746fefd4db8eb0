import MoE
import Tensors
import Testing

@Suite struct InitializationTests {
    private let configuration = ModelConfiguration.odd

    @Test func modulesAreMadeAlone() {
        let whole = configuration.initialParameters(seed: 9)
        let layout = configuration.layout
        for index in layout.modules.indices.reversed() {
            let range = layout.modules[index].range
            let part = FloatBuffer(count: range.count)
            configuration.initialize(module: index, in: part, layout: layout, seed: 9)
            let isEqual = part.array == whole[range].array
            #expect(isEqual, "\(layout.modules[index].name)")
        }
    }

    @Test func seedsAndTensorsDiffer() throws {
        let a = configuration.initialParameters(seed: 0)
        let b = configuration.initialParameters(seed: 1)
        let layout = configuration.layout
        let query = try #require(layout.tensor(named: "model.layers.0.self_attn.q_proj.weight"))
        let output = try #require(layout.tensor(named: "model.layers.0.self_attn.o_proj.weight"))
        #expect(a[query.range].array != b[query.range].array)
        #expect(a[query.range].array != a[output.range].array)
    }

    @Test func normsAreOneAndWeightsNormal() throws {
        var configuration = configuration
        configuration.vocabularySize = 2000
        configuration.initializerRange = 0.5
        let parameters = configuration.initialParameters(seed: 3)
        let layout = configuration.layout
        let norm = try #require(layout.tensor(named: "model.layers.1.self_attn.k_norm.weight"))
        #expect(parameters[norm.range].array.allSatisfy { $0 == 1 })
        let embedding = try #require(layout.tensor(named: "model.embed_tokens.weight"))
        let values = parameters[embedding.range].array.map { Double($0) / 0.5 }
        let count = Double(values.count)
        let mean = values.reduce(0, +) / count
        let variance = values.reduce(0) { $0 + $1 * $1 } / count
        let fourth = values.reduce(0) { $0 + $1 * $1 * $1 * $1 } / count
        let beyond = values.filter { abs($0) > 1.96 }.count
        #expect(abs(mean) < 0.01)
        #expect(abs(variance - 1) < 0.015)
        #expect(abs(fourth - 2.9) < 0.08, "twelve uniforms: 3 less a tenth")
        #expect(abs(Double(beyond) / count - 0.05) < 0.003)
    }

    /// The same bits on every machine: a digest of all of them, taken once.
    @Test func golden() {
        let parameters = configuration.initialParameters(seed: 42)
        var digest: UInt64 = 0xcbf2_9ce4_8422_2325
        for value in parameters.array {
            digest = (digest ^ UInt64(value.bitPattern)) &* 0x0000_0100_0000_01b3
        }
        #expect(digest == 3_761_643_405_583_882_328)
    }
}
