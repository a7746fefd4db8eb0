import Foundation
import Storage
import Tensors
import Testing

/// Folders of others as they come: in any type, in any files, and with anything wrong with them.
@Suite struct FolderLoadingTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private typealias Stored = (name: String, type: ScalarType, shape: [Int], values: [Float])

    /// The small model's tensors, all numbers exact in 16 bits.
    private static let model: [Stored] = smallLayout.tensors.map { tensor in
        (tensor.name, .float32, tensor.shape, tensor.range.map { Float($0) / 4 - 5 })
    }

    private func write(_ tensors: [Stored], to name: String = "model.safetensors") throws {
        var writer = try SafetensorsWriter(
            path: folder.path(name),
            header: SafetensorsHeader(tensors: tensors.map { ($0.name, $0.type, $0.shape) }))
        for tensor in tensors {
            switch tensor.type {
            case .int32: try writer.append(Buffer<Int32>(tensor.values.map { Int32($0) }))
            case .float64: try writer.append(Buffer<Double>(tensor.values.map { Double($0) }))
            default: try writer.append(rounding: FloatBuffer(tensor.values))
            }
        }
        _ = try writer.finish()
    }

    private func writeIndex(_ places: [(String, String)]) throws {
        let map = JSON.object(places.map { JSON.Member(name: $0, value: .string($1)) })
        let index: JSON = ["metadata": [:], "weight_map": map]
        try folder.write(index.encoded(), to: "model.safetensors.index.json")
    }

    private func load(_ layout: ParameterLayout = smallLayout) throws -> [Float] {
        let parameters = FloatBuffer(count: layout.count)
        try SafetensorsFolder(path: folder.path).loadParameters(layout: layout, into: parameters)
        return parameters.array
    }

    /// The message of the refusal, which must have `code` and hold all of `words`.
    private func expectRefusal(
        _ code: StorageError.Code, _ words: String..., layout: ParameterLayout = smallLayout,
        location: SourceLocation = #_sourceLocation
    ) {
        let error = #expect(throws: StorageError.self, sourceLocation: location) {
            try load(layout)
        }
        #expect(error?.code == code, "\(error?.message ?? "")", sourceLocation: location)
        for word in [folder.path] + words {
            #expect(
                error?.message.contains(word) == true, "\(word) in \(error?.message ?? "")",
                sourceLocation: location)
        }
    }

    private static let expected = model.flatMap(\.values)

    @Test func readsEachTensorInItsOwnType() throws {
        var tensors = Self.model
        for (index, type) in [ScalarType.bfloat16, .float16, .float32, .bfloat16, .float16]
            .enumerated()
        {
            tensors[index].type = type
        }
        try write(tensors.reversed())
        #expect(try load() == Self.expected)
    }

    @Test func readsShardsInAnyTypes() throws {
        var tensors = Self.model
        tensors[0].type = .float16
        tensors[4].type = .bfloat16
        try write([tensors[4], tensors[1]], to: "b.safetensors")
        try write([tensors[0], tensors[3], tensors[2]], to: "a.safetensors")
        try writeIndex(
            tensors.enumerated().map { ($1.name, [1, 4].contains($0) ? "b" : "a") }
                .map { ($0, $1 + ".safetensors") })
        #expect(try load() == Self.expected)
    }

    // MARK: What does not fit

    @Test func namesAMissingTensor() throws {
        try write(Array(Self.model.dropLast()))
        expectRefusal(.mismatch, "model.safetensors has no tensor \"lm_head.weight\"")
    }

    @Test func listsTheFirstSurplusTensors() throws {
        try write(Self.model + (0..<9).map { ("extra.\($0)", .float32, [1], [0]) })
        expectRefusal(
            .mismatch, "9 of its tensors", "\"extra.0\", \"extra.1\"", "\"extra.4\", …")
    }

    @Test func namesAWrongShapeAndAWrongType() throws {
        var tensors = Self.model
        tensors[2].shape = [4, 3]
        try write(tensors)
        expectRefusal(
            .mismatch, "tensor \"model.layers.0.mlp.experts.0.up_proj.weight\"",
            "model.safetensors has shape [4, 3], and this model has [3, 4]")
        for type in [ScalarType.int32, .float64] {
            try FileManager.default.removeItem(atPath: folder.path("model.safetensors"))
            tensors = Self.model
            tensors[1].type = type
            try write(tensors)
            expectRefusal(
                .mismatch, "tensor \"model.layers.0.input_layernorm.weight\"",
                "is \(type.rawValue), and F32, F16 or BF16 is wanted")
        }
    }

    @Test(arguments: [ScalarType.float32, .float16, .bfloat16])
    func namesANumberThatIsNotFinite(type: ScalarType) throws {
        let name = "model.norm.weight"
        let header = SafetensorsHeader(
            tensors: Self.model.map { ($0.name, $0.name == name ? type : .float32, $0.shape) })
        var contents = header.encoded() + [UInt8](repeating: 0, count: header.dataByteCount)
        let place = try #require(header.tensor(named: name)?.bytes.lowerBound)
        // The upper half of the last of its four numbers becomes infinity of either format.
        let last = header.encoded().count + place + 4 * type.byteCount
        contents[last - 1] = type == .float16 ? 0x7c : 0x7f
        contents[last - 2] = type == .float16 ? 0x00 : 0x80
        try folder.write(contents, to: "model.safetensors")
        expectRefusal(.corrupt, "tensor \"\(name)\"", "not finite: element 3 is inf")
    }

    /// A tensor of another type is no trouble while nobody wants it.
    @Test func readsBesideTypesThatAreNotRead() throws {
        try folder.write(
            SafetensorsHeader(tensors: [("q", .float8E4M3, [4]), ("w", .bfloat16, [2])]).encoded()
                + [1, 2, 3, 4, 0x80, 0x3f, 0, 0x40], to: "model.safetensors")
        let file = try SafetensorsFile(path: folder.path("model.safetensors"))
        #expect(try file.floats("w").array == [1, 2])
        let error = #expect(throws: StorageError.self) { try file.floats("q") }
        #expect(error?.code == .mismatch)
        #expect(error?.message.contains("tensor \"q\"") == true)
        #expect(error?.message.contains("is F8_E4M3, and F32, F16 or BF16 is wanted") == true)
    }

    // MARK: What others leave in their folders

    @Test func overlooksWhatFollowsFromTheConfiguration() throws {
        try write(
            Self.model
                + [("model.layers.0.self_attn.rotary_emb.inv_freq", .float32, [2], [1, 0.1])])
        #expect(try load() == Self.expected)
        expectRefusal(
            .mismatch, "2 of its tensors", "\"lm_head.weight\"", layout: Self.withoutHead)
    }

    private static let tied = ParameterLayout(modules: [
        ("embedding", [("model.embed_tokens.weight", [5, 4])]), ("head", []),
    ])

    /// A layout without a head that nothing ties: it has no embedding either.
    private static let withoutHead = ParameterLayout(modules: [
        ("layers.0", smallLayout.tensors[1...3].map { ($0.name, $0.shape) })
    ])

    @Test func takesATiedHeadOnlyWhereItIsTheEmbedding() throws {
        let numbers = (0..<20).map { Float($0) }
        let embedding: Stored = ("model.embed_tokens.weight", .float32, [5, 4], numbers)
        // In another type, but the same numbers.
        try write([embedding, ("lm_head.weight", .bfloat16, [5, 4], numbers)])
        #expect(try load(Self.tied) == numbers)
        try FileManager.default.removeItem(atPath: folder.path("model.safetensors"))
        try write([embedding, ("lm_head.weight", .float32, [5, 4], numbers.reversed())])
        expectRefusal(
            .mismatch, "tensor \"lm_head.weight\"",
            "not equal to \"model.embed_tokens.weight\"", layout: Self.tied)
    }

    // MARK: What an index can say

    @Test func refusesAnIndexThatLeadsOutOfTheFolder() throws {
        try write(Self.model, to: "a.safetensors")
        for name in ["../a.safetensors", "/etc/passwd", "..", "", "x\u{0}"] {
            try writeIndex([("lm_head.weight", name)])
            expectRefusal(
                .corrupt, "index.json places tensor \"lm_head.weight\"", "no name of a file")
        }
    }

    @Test func refusesAnIndexThatDisagreesWithItsFiles() throws {
        try write(Array(Self.model[0..<2]), to: "a.safetensors")
        try write(Array(Self.model[2...]), to: "b.safetensors")
        func places(_ file: (Int) -> String) -> [(String, String)] {
            Self.model.indices.map { (Self.model[$0].name, file($0) + ".safetensors") }
        }
        try writeIndex(places { $0 < 2 ? "a" : "b" })
        #expect(try load() == Self.expected)
        // In the other file.
        try writeIndex(places { $0 < 3 ? "a" : "b" })
        expectRefusal(
            .corrupt, "\"model.layers.0.mlp.experts.0.up_proj.weight\" in \"a.safetensors\"")
        // Not listed.
        try writeIndex(places { $0 < 2 ? "a" : "b" }.dropLast())
        expectRefusal(.corrupt, "does not list tensor \"lm_head.weight\"", "b.safetensors")
        // In no file.
        try writeIndex(places { $0 < 2 ? "a" : "b" } + [("more", "a.safetensors")])
        expectRefusal(.corrupt, "\"more\" in \"a.safetensors\", which has it not")
        // A file that is not there.
        try writeIndex(places { $0 < 2 ? "a" : "c" })
        expectRefusal(.missing, "c.safetensors does not exist", "index.json places tensors in it")
        // Twice in the index.
        try folder.write(
            #"{"weight_map":{"x":"a.safetensors","x":"b.safetensors"}}"#,
            to: "model.safetensors.index.json")
        let error = #expect(throws: StorageError.self) { try load() }
        #expect(error?.description.contains("\"x\" a second time") == true)
        // In two files.
        try write([Self.model[0]], to: "d.safetensors")
        try writeIndex(places { $0 < 2 ? "a" : "b" } + [("x", "d.safetensors")])
        expectRefusal(.corrupt, "tensor \"model.embed_tokens.weight\" is in both", "d.safetensors")
    }

    @Test func refusesTwoModelsInOneFolder() throws {
        try write(Self.model)
        try write(Self.model, to: "a.safetensors")
        try writeIndex(Self.model.map { ($0.name, "a.safetensors") })
        expectRefusal(.corrupt, "both model.safetensors and model.safetensors.index.json")
        // An index of that one file is no contradiction.
        try writeIndex(Self.model.map { ($0.name, "model.safetensors") })
        #expect(try load() == Self.expected)
    }

    @Test func boundsTheNumberOfFiles() throws {
        try writeIndex((0...512).map { ("t\($0)", "\($0).safetensors") })
        expectRefusal(.unsupported, "513 files, more than the limit of 512")
    }

    @Test func saysThatThereAreNoWeights() throws {
        expectRefusal(.missing, "neither model.safetensors nor model.safetensors.index.json")
    }
}
