import Storage
import Tensors
import Testing

@Suite struct SafetensorsFileTests {
    private func write(
        _ tensors: [(name: String, shape: [Int], values: FloatBuffer)], to path: String
    ) throws {
        var writer = try SafetensorsWriter(
            path: path,
            header: SafetensorsHeader(tensors: tensors.map { ($0.name, .float32, $0.shape) }))
        for tensor in tensors { try writer.append(tensor.values) }
        _ = try writer.finish()
    }

    @Test func readsWhatItWrites() throws {
        let folder = try TemporaryFolder()
        let path = folder.path("x.safetensors")
        let a = FloatBuffer([1, -0.0, .infinity, .leastNonzeroMagnitude, .pi, 6])
        var writer = try SafetensorsWriter(
            path: path,
            header: SafetensorsHeader(tensors: [
                ("a", .float32, [2, 3]), ("empty", .float32, [0]), ("b", .float32, [2]),
                ("i", .int64, [3]), ("d", .float64, []), ("u", .uint8, [5]),
            ]))
        // In pieces that fall across tensors.
        try writer.append(a[0..<4])
        try writer.append(FloatBuffer([.pi, 6, 7]))
        try writer.append(FloatBuffer([8]))
        try writer.append(Buffer<Int64>([1, -2, .max]))
        try writer.append(Buffer<Double>([0.1]))
        try writer.append(Buffer<UInt8>([0, 1, 2, 254, 255]))
        let (byteCount, checksum) = try writer.finish()
        let written = try bytes(at: path)
        #expect(byteCount == written.count)
        #expect(checksum.value == Checksum.of(written))

        let file = try SafetensorsFile(path: path)
        #expect(file.header.metadata == ["format": "pt"])
        #expect(try file.tensor(named: "a").shape == [2, 3])
        #expect(try file.floats("a").array.map(\.bitPattern) == a.array.map(\.bitPattern))
        #expect(try file.floats("b").array == [7, 8])
        #expect(try file.floats("empty").array == [])
        #expect(try file.values("i", of: Int64.self).array == [1, -2, .max])
        #expect(try file.values("d", of: Double.self).array == [0.1])
        #expect(try file.values("u", of: UInt8.self).array == [0, 1, 2, 254, 255])
    }

    @Test func readsHalfPrecisionAsFloats() throws {
        let folder = try TemporaryFolder()
        let path = folder.path("x.safetensors")
        // More than one chunk, so that the seam between chunks is read too.
        let count = (1 << 16) + 3
        let header = SafetensorsHeader(tensors: [("h", .float16, [5]), ("b", .bfloat16, [count])])
        var half: [UInt16] = [0x3c00, 0xc000, 0x7c00, 0x0001, 0x3555]
        half += (0..<count).map { UInt16($0 % 16_381) }
        var file = header.encoded()
        for value in half { file += [UInt8(value & 0xff), UInt8(value >> 8)] }
        try folder.write(file, to: "x.safetensors")
        let read = try SafetensorsFile(path: path)
        #expect(
            try read.floats("h").array
                == [1, -2, .infinity, 0x1p-24, Float(Float16(bitPattern: 0x3555))])
        #expect(
            try read.floats("b").array
                == (0..<count).map { Float(bitPattern: UInt32($0 % 16_381) << 16) })
    }

    @Test func refusesOtherTypesCountsAndNames() throws {
        let folder = try TemporaryFolder()
        let path = folder.path("x.safetensors")
        var writer = try SafetensorsWriter(
            path: path,
            header: SafetensorsHeader(tensors: [("a", .float32, [2]), ("i", .int64, [1])]))
        try writer.append(FloatBuffer([1, 2]))
        try writer.append(Buffer<Int64>([3]))
        _ = try writer.finish()
        let file = try SafetensorsFile(path: path)
        #expect(try code { _ = try file.floats("i") } == .mismatch)
        #expect(try code { _ = try file.values("a", of: Int64.self) } == .mismatch)
        #expect(try code { try file.read("a", into: FloatBuffer(count: 3)) } == .mismatch)
        #expect(try code { _ = try file.floats("none") } == .missing)
    }

    @Test func refusesEveryTruncationAndWhatFollows() throws {
        let folder = try TemporaryFolder()
        try write([("a", [2, 3], randomBuffer(6, seed: 1))], to: folder.path("whole"))
        let whole = try bytes(at: folder.path("whole"))
        for length in 0..<whole.count {
            try folder.write(Array(whole.prefix(length)), to: "cut")
            #expect(
                try code { _ = try SafetensorsFile(path: folder.path("cut")) } == .corrupt,
                "\(length) of \(whole.count) bytes")
        }
        try folder.write(whole + [0], to: "long")
        #expect(try code { _ = try SafetensorsFile(path: folder.path("long")) } == .corrupt)
    }

    @Test(arguments: [0x1000_0000_0000_0000, UInt64.max, 100_000_001, 1 << 31, 17])
    func refusesAnAnnouncedLength(_ length: UInt64) throws {
        let folder = try TemporaryFolder()
        let bytes = (0..<8).map { UInt8(truncatingIfNeeded: length >> (8 * $0)) }
        let path = try folder.write(bytes + Array("{}              ".utf8), to: "x")
        #expect(try code { _ = try SafetensorsFile(path: path) } == .corrupt)
    }

    @Test func refusesWhatIsNoFile() throws {
        let folder = try TemporaryFolder()
        #expect(try code { _ = try SafetensorsFile(path: folder.path("none")) } == .missing)
        #expect(try code { _ = try SafetensorsFile(path: folder.path) } == .unreadable)
        _ = try run("/usr/bin/mkfifo", [folder.path("pipe")])
        #expect(try code { _ = try SafetensorsFile(path: folder.path("pipe")) } == .unreadable)
    }

    @Test func neverWritesOverAFile() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write("precious", to: "x")
        #expect(try code { try write([], to: path) } == .unwritable)
        #expect(try bytes(at: path) == Array("precious".utf8))
    }

    // MARK: Several files

    private func writeShards(_ folder: TemporaryFolder, index: String) throws {
        try write([("a", [2], FloatBuffer([1, 2]))], to: folder.path("one.safetensors"))
        try write([("b", [1], FloatBuffer([3]))], to: folder.path("two.safetensors"))
        try folder.write(index, to: SafetensorsFolder.indexName)
    }

    @Test func readsShardsThroughTheirIndex() throws {
        let folder = try TemporaryFolder()
        try writeShards(
            folder,
            index: #"{"metadata":{},"weight_map":{"a":"one.safetensors","b":"two.safetensors"}}"#)
        let weights = try SafetensorsFolder(path: folder.path)
        #expect(weights.tensorNames == ["a", "b"])
        #expect(try weights.file(holding: "a").floats("a").array == [1, 2])
        #expect(try weights.file(holding: "b").floats("b").array == [3])
        #expect(try code { _ = try weights.file(holding: "c") } == .missing)
    }

    @Test(arguments: [
        #"{"weight_map":{"b":"one.safetensors"}}"#, #"{"weight_map":{"a":"../one.safetensors"}}"#,
        #"{"weight_map":{"a":".."}}"#, #"{"weight_map":{"a":""}}"#, #"{"weight_map":{"a":1}}"#,
        #"{"weight_map":[]}"#, "{}", "",
    ])
    func refusesAnIndex(_ index: String) throws {
        let folder = try TemporaryFolder()
        try writeShards(folder, index: index)
        #expect(try code { _ = try SafetensorsFolder(path: folder.path) } == .corrupt)
    }

    @Test func namesAShardThatIsMissing() throws {
        let folder = try TemporaryFolder()
        try folder.write(
            #"{"weight_map":{"a":"gone.safetensors"}}"#, to: SafetensorsFolder.indexName)
        let error = #expect(throws: StorageError.self) { try SafetensorsFolder(path: folder.path) }
        #expect(error?.code == .missing)
        #expect(error?.message.contains("gone.safetensors") == true)
    }
}
