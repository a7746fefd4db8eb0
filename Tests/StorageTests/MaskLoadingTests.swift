import Foundation
import Storage
import Tensors
import Testing

/// Masks of experts: tensors that a model has only where its config.json says so.
@Suite struct MaskLoadingTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private static let mask = "model.layers.0.mlp.mask_router.weight"

    private typealias Shapes = [(name: String, shape: [Int])]

    /// Two layers with three experts each, of which `masked` have a mask router of `shape`.
    private static func layout(masked: Set<Int>, shape: [Int] = [3, 4]) -> ParameterLayout {
        var modules: [(name: String, tensors: Shapes)] = [
            ("embedding", [("model.embed_tokens.weight", [5, 4])])
        ]
        for layer in 0..<2 {
            let place = "model.layers.\(layer).mlp"
            var tensors: Shapes = [("\(place).gate.weight", [3, 4])]
            if masked.contains(layer) { tensors.append(("\(place).mask_router.weight", shape)) }
            tensors.append(("\(place).experts.0.up_proj.weight", [2, 4]))
            modules.append(("layers.\(layer)", tensors))
        }
        modules.append(("head", [("model.norm.weight", [4])]))
        return ParameterLayout(modules: modules)
    }

    private static let plain = layout(masked: [])
    private static let masked = layout(masked: [0, 1])

    /// Numbers that all types hold exactly.
    private static func parameters(_ layout: ParameterLayout) -> FloatBuffer {
        FloatBuffer((0..<layout.count).map { Float($0) / 8 - 5 })
    }

    private func write(
        _ layout: ParameterLayout, _ parameters: FloatBuffer? = nil, type: ScalarType = .float32,
        to name: String = "model"
    ) throws -> Checkpoint {
        try ModelFolder.write(
            parameters ?? Self.parameters(layout), layout: layout,
            documents: smallDocuments.files,
            format: WeightFormat(type: type, shardBytesMax: 80), to: folder.path(name))
        return try Checkpoint.open(folder.path(name))
    }

    /// The message with which `checkpoint` is refused as a model laid out as `layout`; it is the
    /// same before any number is read as when all of them are.
    private func refusal(_ checkpoint: Checkpoint, _ layout: ParameterLayout) -> String {
        let early = #expect(throws: StorageError.self) { try checkpoint.check(layout: layout) }
        let late = #expect(throws: StorageError.self) {
            try checkpoint.loadParameters(
                layout: layout, into: FloatBuffer(count: layout.count))
        }
        #expect(early?.code == .mismatch && late?.code == .mismatch)
        #expect(early?.message == late?.message)
        #expect(early?.message.contains("\n") == false)
        return early?.message ?? ""
    }

    @Test(
        "What the folder does not have stays as it is, all else is read",
        arguments: [ScalarType.float32, .bfloat16, .float16])
    func masksThatAreNotThereStay(type: ScalarType) throws {
        let checkpoint = try write(Self.plain, type: type)
        try checkpoint.check(layout: Self.plain)
        let expected = Self.parameters(Self.plain)
        for (index, module) in Self.masked.modules.enumerated() {
            let values = FloatBuffer(count: module.range.count)
            values.fill(77)
            try checkpoint.loadModule(
                index, layout: Self.masked, storedAs: Self.plain, into: values)
            for tensor in Self.masked.tensors where tensor.module == index {
                let start = tensor.range.lowerBound - module.range.lowerBound
                let found = values[start..<start + tensor.range.count].array
                if let stored = Self.plain.tensor(named: tensor.name) {
                    #expect(found == expected[stored.range].array, "\(tensor.name)")
                } else {
                    #expect(found == Array(repeating: 77, count: 12), "\(tensor.name)")
                }
            }
        }
    }

    @Test("Masks that are there are read as any tensor")
    func masksThatAreThereAreRead() throws {
        let checkpoint = try write(Self.masked)
        let expected = Self.parameters(Self.masked)
        let all = FloatBuffer(count: Self.masked.count)
        try checkpoint.loadParameters(layout: Self.masked, into: all)
        #expect(all.array == expected.array)
        for (index, module) in Self.masked.modules.enumerated() {
            let values = FloatBuffer(count: module.range.count)
            try checkpoint.loadModule(
                index, layout: Self.masked, storedAs: Self.masked, into: values)
            #expect(values.array == expected[module.range].array)
        }
    }

    @Test("A mask that is missing is named, with its shape and the key that wants it")
    func aMissingMaskIsNamed() throws {
        let checkpoint = try write(Self.layout(masked: [0]))
        let missing = "model.layers.1.mlp.mask_router.weight"
        #expect(
            refusal(checkpoint, Self.masked)
                == "\(checkpoint.path) has no tensor \"\(missing)\", of shape [3, 4]; "
                + "\"expert_masks\": true in config.json wants it")
    }

    /// Turned, of fewer or more experts, of another width, flat, or with a dimension too many.
    @Test(
        "A mask of another shape is named, with both shapes",
        arguments: [[4, 3], [2, 4], [6, 4], [3, 5], [12], [3, 4, 1]])
    func aWrongShapeIsNamed(shape: [Int]) throws {
        let checkpoint = try write(Self.layout(masked: [0, 1], shape: shape))
        let message = refusal(checkpoint, Self.masked)
        #expect(message.hasPrefix("tensor \"\(Self.mask)\" in \(checkpoint.path)/model-"))
        #expect(message.contains("has shape \(shape), and this model has [3, 4]"))
    }

    /// Its shape is right, so it is found where numbers are read, not before.
    @Test("A mask that holds no number is refused by its tensor and the number's place")
    func aBrokenNumberIsNamed() throws {
        let place = try #require(Self.masked.tensor(named: Self.mask))
        for (index, value) in [Float.nan, .infinity, -.infinity].enumerated() {
            let parameters = Self.parameters(Self.masked)
            parameters[place.range.lowerBound + 7] = value
            let checkpoint = try write(Self.masked, parameters, to: "model \(index)")
            try checkpoint.check(layout: Self.masked)
            let whole = #expect(throws: StorageError.self) {
                try checkpoint.loadParameters(
                    layout: Self.masked, into: FloatBuffer(count: Self.masked.count))
            }
            let module = Self.masked.modules[place.module]
            let alone = #expect(throws: StorageError.self) {
                try checkpoint.loadModule(
                    place.module, layout: Self.masked, storedAs: Self.masked,
                    into: FloatBuffer(count: module.range.count))
            }
            #expect(whole?.code == .corrupt && alone?.code == .corrupt)
            let message = whole?.message ?? ""
            #expect(message == alone?.message && !message.contains("\n"))
            #expect(message.hasPrefix("tensor \"\(Self.mask)\" in \(checkpoint.path)/model-"))
            #expect(
                message.hasSuffix("holds numbers that are not finite: element 7 is \(value)"))
        }
    }

    @Test("Masks without their key in config.json are refused by that key")
    func masksWithoutTheirKeyAreRefused() throws {
        let checkpoint = try write(Self.masked)
        #expect(
            refusal(checkpoint, Self.plain)
                == "\(checkpoint.path) has tensor \"\(Self.mask)\", and its config.json does not "
                + "say \"expert_masks\": true; set that key, or leave out the tensors "
                + "*.mask_router.weight")
    }

    @Test("A mask of a layer without experts is a surplus tensor like any other")
    func aMaskTooManyIsSurplus() throws {
        let checkpoint = try write(Self.masked)
        let message = refusal(checkpoint, Self.layout(masked: [1]))
        #expect(message.contains("1 of its tensors have no place in this one: \"\(Self.mask)\""))
        #expect(!message.contains("expert_masks"))
    }

    @Test("A tied head that is not the embedding is found where modules are read one by one")
    func aFalseCopyIsFound() throws {
        let untied = ParameterLayout(modules: [
            ("embedding", [("model.embed_tokens.weight", [5, 4])]),
            ("head", [("model.norm.weight", [4]), ("lm_head.weight", [5, 4])]),
        ])
        let tied = ParameterLayout(modules: [
            ("embedding", [("model.embed_tokens.weight", [5, 4])]),
            ("head", [("model.norm.weight", [4])]),
        ])
        let checkpoint = try write(untied)
        try checkpoint.check(layout: tied)
        let error = #expect(throws: StorageError.self) {
            try checkpoint.loadModule(
                0, layout: tied, storedAs: tied, into: FloatBuffer(count: 20))
        }
        #expect(error?.code == .mismatch)
        #expect(
            error?.message.contains("is not equal to \"model.embed_tokens.weight\"") == true)
        try checkpoint.loadModule(1, layout: tied, into: FloatBuffer(count: 4))
    }
}
