import Foundation
import Storage
import Tensors
import Testing

/// Whole models as folders: every type, in one file or several, written and read again.
@Suite struct ModelFolderTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    /// Numbers that all three types hold exactly.
    private static let parameters = FloatBuffer(
        (0..<smallLayout.count).map { Float($0) / 8 - 3 })

    @discardableResult
    private func write(
        _ name: String, _ format: WeightFormat, _ parameters: FloatBuffer = parameters
    ) throws -> String {
        let path = folder.path(name)
        try ModelFolder.write(
            parameters, layout: smallLayout, documents: smallDocuments.files, format: format,
            to: path)
        return path
    }

    private func load(_ path: String) throws -> [Float] {
        let parameters = FloatBuffer(count: smallLayout.count)
        try Checkpoint.open(path).loadParameters(layout: smallLayout, into: parameters)
        return parameters.array
    }

    private func weightNames(_ path: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: path).sorted()
            .filter { $0.hasPrefix("model") }
    }

    @Test(arguments: [ScalarType.float32, .bfloat16, .float16])
    func readsWhatItWrites(type: ScalarType) throws {
        let path = try write("one", WeightFormat(type: type))
        #expect(try weightNames(path) == ["model.safetensors"])
        #expect(try load(path) == Self.parameters.array)
        for tensor in try SafetensorsFile(path: path + "/model.safetensors").header.tensors {
            #expect(tensor.type == type)
        }
    }

    /// The tensors of the small model have 20, 4, 12, 4 and 20 numbers.
    @Test(arguments: [
        (1, [1, 1, 1, 1, 1]), (48, [2, 2, 1]), (72, [3, 2]), (119, [4, 1]), (120, [5]),
    ])
    func startsAnotherFileAtTheLimit(limit: Int, tensors: [Int]) throws {
        let path = try write("shards", WeightFormat(type: .bfloat16, shardBytesMax: limit))
        let count = tensors.count
        let names =
            count == 1
            ? ["model.safetensors"]
            : (1...count).map { "model-0000\($0)-of-0000\(count).safetensors" }
                + ["model.safetensors.index.json"]
        #expect(try weightNames(path) == names)
        #expect(
            try names.prefix(count).map {
                try SafetensorsFile(path: "\(path)/\($0)").header.tensors.count
            } == tensors)
        #expect(try load(path) == Self.parameters.array)
        guard count > 1 else { return }
        let index = try JSON(file: path + "/model.safetensors.index.json")
        #expect(index["metadata"]?["total_size"] == 120)
        #expect(index["metadata"]?["total_parameters"] == 60)
        let places = try #require(index["weight_map"]?.members)
        #expect(places.map(\.name) == smallLayout.tensors.map(\.name).sorted())
        let first = index["weight_map"]?["model.embed_tokens.weight"]?.string
        #expect(first == names[0])
    }

    @Test func theSameNumbersGiveTheSameBytes() throws {
        let format = WeightFormat(type: .float16, shardBytesMax: 50)
        let first = try write("first", format)
        let second = try write("second", format)
        for name in try FileManager.default.contentsOfDirectory(atPath: first) {
            #expect(try bytes(at: "\(first)/\(name)") == bytes(at: "\(second)/\(name)"), "\(name)")
        }
    }

    @Test func appearsWholeOrNotAtAll() throws {
        let parameters = Self.parameters.duplicate()
        parameters[smallLayout.count - 1] = 1e6
        let error = #expect(throws: StorageError.self) {
            try write("half", WeightFormat(type: .float16, shardBytesMax: 50), parameters)
        }
        #expect(error?.message.contains("tensor \"lm_head.weight\"") == true)
        #expect(try folder.names() == [])
        try folder.write("precious", to: "taken/file")
        #expect(try code { try write("taken", WeightFormat()) } == .unwritable)
        #expect(try folder.names() == ["taken"])
    }

    /// A checkpoint is written by the same code, module by module, and its manifest knows every
    /// file.
    @Test func aCheckpointIsStoredInAnyFormat() throws {
        let path = folder.path("checkpoint")
        let writer = try CheckpointWriter(
            path: path, layout: smallLayout, documents: smallDocuments, resume: [.outerMomentum],
            format: WeightFormat(type: .bfloat16, shardBytesMax: 60))
        for (index, module) in smallLayout.modules.enumerated() {
            try writer.append(
                module: index, parameters: Self.parameters[module.range],
                resume: [smallMomentum[module.range]])
        }
        _ = try writer.finish(run: smallRun)
        #expect(try load(path) == Self.parameters.array)
        let plain = try write("plain", WeightFormat(type: .bfloat16, shardBytesMax: 60))
        let names = try weightNames(plain)
        #expect(try weightNames(path) == names && names.count > 2)
        for name in names {
            #expect(try bytes(at: "\(path)/\(name)") == bytes(at: "\(plain)/\(name)"))
            let whole = try bytes(at: "\(path)/\(name)")
            var damaged = whole
            damaged[whole.count - 2] ^= 1
            try folder.write(damaged, to: "checkpoint/\(name)")
            #expect(try code { _ = try Checkpoint.open(path) } == .corrupt, "\(name)")
            try folder.write(whole, to: "checkpoint/\(name)")
        }
        #expect(try Checkpoint.open(path).isResumable)
    }

    @Test(arguments: [ScalarType.float32, .bfloat16, .float16], [50, 1000])
    func othersReadIt(type: ScalarType, limit: Int) throws {
        let path = try write("others", WeightFormat(type: type, shardBytesMax: limit))
        let expected: JSON = .object(
            smallLayout.tensors.map { tensor in
                let numbers = Self.parameters[tensor.range].array
                return JSON.Member(
                    name: tensor.name,
                    value: [
                        "dtype": .string(type.rawValue),
                        "shape": .array(tensor.shape.map { .integer($0) }),
                        "numbers": .array(numbers.map { .number(Double($0)) }),
                    ])
            })
        try folder.write(expected.encoded(), to: "expected.json")
        try PythonPeerTests().python("model_folder_agrees.py", path, folder.path("expected.json"))
    }
}
