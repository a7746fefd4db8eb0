import Foundation
import Storage
import Testing

/// Files that lie, and what we say to each: the error names the file and the tensor.
@Suite struct HostileFileTests {
    private static let first = #""a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}"#

    private static func tensor(
        _ name: String = "bad", _ type: String = #""F32""#, shape: String, offsets: String
    ) -> String {
        #""\#(name)":{"dtype":\#(type),"shape":\#(shape),"data_offsets":\#(offsets)}"#
    }

    private static let shapeProblems: [(String, String)] = [
        ("[-2]", "dimension that is not a count"), ("[2.0]", "dimension that is not a count"),
        ("[2e0]", "dimension that is not a count"), ("[-0]", "dimension that is not a count"),
        ("[\"2\"]", "dimension that is not a count"), ("[null]", "dimension that is not a count"),
        ("[99999999999999999999]", "dimension that is not a count"),
        ("[1152921504606846976]", "beyond all memory"),
        ("[4294967296,4294967296]", "beyond all memory"),
        ("[4611686018427387905]", "beyond all memory"), ("[3]", "takes 8 bytes, and 12"),
        ("[2,2]", "takes 8 bytes, and 16"), ("[0]", "takes 8 bytes, and 0"),
        ("2", "something else than dtype, shape and data_offsets"),
    ]

    private static let offsetProblems: [(String, String)] = [
        ("[9,17]", "outside the file's 16 bytes"),
        ("[8,1152921504606846976]", "outside the file's"),
        ("[16,8]", "outside the file's"), ("[-8,0]", "outside the file's"),
        ("[8.0,16]", "outside the file's"), ("[8,1.6e1]", "outside the file's"),
        ("[8]", "outside the file's"), ("[8,16,16]", "outside the file's"),
        ("[0,8]", "overlaps the one before it"), ("[4,12]", "overlaps the one before it"),
        ("{}", "something else than dtype, shape and data_offsets"),
    ]

    private func parse(_ text: String, data: Int = 16) throws(StorageError) -> SafetensorsHeader {
        try SafetensorsHeader(parsing: Array(text.utf8), dataByteCount: data, path: "some/file")
    }

    private func expectRefusal(
        _ text: String, data: Int = 16, _ words: String...,
        location: SourceLocation = #_sourceLocation
    ) {
        let error = #expect(throws: StorageError.self, sourceLocation: location) {
            try parse(text, data: data)
        }
        for word in ["some/file"] + words {
            #expect(
                error?.description.contains(word) == true,
                "\(word) in \(error?.description ?? "")", sourceLocation: location)
        }
    }

    @Test func namesTheTensorWhoseShapeIsWrong() {
        for (shape, problem) in Self.shapeProblems {
            let bad = Self.tensor(shape: shape, offsets: "[8,16]")
            expectRefusal("{\(Self.first),\(bad)}", "tensor \"bad\"", problem)
        }
    }

    @Test func namesTheTensorWhosePlaceIsWrong() {
        for (offsets, problem) in Self.offsetProblems {
            let bad = Self.tensor(shape: "[2]", offsets: offsets)
            expectRefusal("{\(Self.first),\(bad)}", "tensor \"", problem)
        }
        let late = Self.tensor(shape: "[1]", offsets: "[12,16]")
        expectRefusal("{\(Self.first),\(late)}", "tensor \"bad\" leaves a gap")
        expectRefusal("{\(Self.first)}", "its tensors take 8 bytes, and the file has 16")
    }

    @Test func namesWhatIsGivenTwice() {
        let second = Self.tensor("a", shape: "[2]", offsets: "[8,16]")
        expectRefusal("{\(Self.first),\(second)}", "\"a\" a second time")
        // Equal only once the escape is read.
        let escaped = Self.tensor(#"\u0061"#, shape: "[2]", offsets: "[8,16]")
        expectRefusal("{\(Self.first),\(escaped)}", "\"a\" a second time")
        expectRefusal(#"{"__metadata__":{},"__metadata__":{}}"#, data: 0, "a second time")
        expectRefusal(#"{"__metadata__":{"k":"1","k":"2"}}"#, data: 0, "\"k\" a second time")
    }

    @Test func namesATypeThatDoesNotExist() {
        let bad = Self.tensor("t", #""F31""#, shape: "[2]", offsets: "[8,16]")
        expectRefusal("{\(Self.first),\(bad)}", "tensor \"t\" has the unknown type \"F31\"")
        let packed = Self.tensor("t", #""F4""#, shape: "[15]", offsets: "[8,16]")
        expectRefusal("{\(Self.first),\(packed)}", "tensor \"t\" does not fill its last byte")
        for wrong in ["4", "null", "[\"F32\"]", "{\"F32\":null}"] {
            let bad = Self.tensor("t", wrong, shape: "[2]", offsets: "[8,16]")
            expectRefusal("{\(Self.first),\(bad)}", "tensor \"t\"", "something else than dtype")
        }
    }

    @Test func refusesMetadataThatIsNotText() {
        for metadata in ["[]", "1", "\"x\"", "true"] {
            expectRefusal(
                "{\"__metadata__\":\(metadata)}", data: 0, "__metadata__ is not an object")
        }
        for value in ["1", "null", "{}", "[\"x\"]"] {
            expectRefusal("{\"__metadata__\":{\"k\":\(value)}}", data: 0, "not text")
        }
    }

    @Test func refusesTextThatIsNoText() throws {
        for name in [#"\ud800"#, #"\udc00\ud800"#, #"\ud83dx"#] {
            let bad = Self.tensor(name, shape: "[4]", offsets: "[0,16]")
            expectRefusal("{\(bad)}", "is no JSON", "half a surrogate pair")
        }
        var text = Array("{\(Self.tensor("N", shape: "[4]", offsets: "[0,16]"))}".utf8)
        for bytes: [UInt8] in [
            [0xff], [0xc3], [0xed, 0xa0, 0x80], [0xc0, 0xaf], [0xf5, 0x80, 0x80, 0x80],
        ] {
            text.replaceSubrange(2..<3, with: bytes)
            let error = #expect(throws: StorageError.self) {
                try SafetensorsHeader(parsing: text, dataByteCount: 16, path: "some/file")
            }
            #expect(error?.description.contains("not UTF-8") == true)
            text.replaceSubrange(2..<2 + bytes.count, with: [0x4e])
        }
    }

    @Test func refusesDeepNesting() {
        for depth in [65, 100_000] {
            let value = String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
            expectRefusal("{\"a\":\(value)}", "nested deeper than 64")
        }
    }

    /// Such names open nothing and steer nothing: they are keys, and messages show them quoted.
    @Test func aNameIsOnlyAName() throws {
        for name in [#"../../etc/passwd"#, #"a\u0000b"#, "", #"\u001b[2J"#, "__proto__"] {
            let header = try parse("{\(Self.tensor(name, shape: "[4]", offsets: "[0,16]"))}")
            #expect(header.tensors.count == 1)
        }
        let long = String(repeating: "x", count: 1 << 20)
        let bad = Self.tensor(#"\u001b[2J\n\u202e"# + long, shape: "[3]", offsets: "[0,16]")
        let error = #expect(throws: StorageError.self) { try parse("{\(bad)}") }
        let message = error?.description ?? ""
        #expect(message.contains(#"tensor "\u{1b}[2J\u{a}\u{202e}xxx"#))
        #expect(message.utf8.count < 400 && message.hasSuffix("and 12 by its type and shape"))
    }

    // MARK: Whole files

    private func smallFile() throws -> (folder: TemporaryFolder, bytes: [UInt8], header: Int) {
        let header = SafetensorsHeader(tensors: [
            ("w", .bfloat16, [2, 2]), ("b", .float32, [1]), ("none", .float32, [0, 3]),
        ])
        let encoded = header.encoded()
        let data: [UInt8] = [0x80, 0x3f, 0, 0x40, 0, 0, 0x80, 0xbf, 0, 0, 0x80, 0x3f]
        return (try TemporaryFolder(), encoded + data, encoded.count)
    }

    @Test func refusesEveryTruncationByName() throws {
        let (folder, whole, _) = try smallFile()
        for length in 0..<whole.count {
            let path = try folder.write(Array(whole.prefix(length)), to: "x")
            let error = #expect(throws: StorageError.self) { try SafetensorsFile(path: path) }
            #expect(error?.code == .corrupt && error?.message.contains(path) == true)
        }
        for extra in [1, 8, 4096] {
            let path = try folder.write(whole + [UInt8](repeating: 0, count: extra), to: "x")
            let error = #expect(throws: StorageError.self) { try SafetensorsFile(path: path) }
            #expect(error?.message.contains("the file has \(12 + extra) for them") == true)
        }
    }

    /// Each byte of length and header becomes each other byte: refused, or another sound header
    /// whose tensors can all be asked for.
    @Test func survivesEveryByteInEveryPlace() throws {
        let (folder, whole, headerCount) = try smallFile()
        let original = try SafetensorsFile(path: folder.write(whole, to: "x")).header
        var changed = 0
        for index in 0..<headerCount {
            for byte in stride(from: UInt8(1), through: 255, by: index < 8 ? 1 : 2) {
                var damaged = whole
                damaged[index] ^= byte
                let text = Array(damaged[8..<headerCount])
                let header: SafetensorsHeader?
                if index < 8 {
                    header = try? SafetensorsFile(path: folder.write(damaged, to: "x")).header
                } else {
                    header = try? SafetensorsHeader(parsing: text, dataByteCount: 12, path: "x")
                }
                guard let header else { continue }
                changed += 1
                #expect(header.dataByteCount == 12)
                #expect(header != original || index >= headerCount - 8, "byte \(index) ^ \(byte)")
                for tensor in header.tensors {
                    #expect(tensor.count * tensor.type.bitCount == 8 * tensor.bytes.count)
                }
            }
        }
        #expect(changed > 100)
    }

    @Test(arguments: [0, 1, 1 << 60, UInt64.max, UInt64(Int.max), 100_000_001])
    func refusesALengthThatCanNotBe(_ length: UInt64) throws {
        let folder = try TemporaryFolder()
        let bytes = (0..<8).map { UInt8(truncatingIfNeeded: length >> (8 * $0)) }
        let path = try folder.write(bytes + Array("{}".utf8), to: "x")
        let error = #expect(throws: StorageError.self) { try SafetensorsFile(path: path) }
        #expect(error?.code == .corrupt && error?.message.contains(path) == true)
        let problem = length == 1 ? "is no JSON" : "no safetensors file"
        #expect(error?.message.contains(problem) == true)
    }

    /// Work grows with the length of the header and no faster.
    @Test func manyTensorsAreNoTrouble() throws {
        let count = 50_000
        let header = SafetensorsHeader(tensors: (0..<count).map { ("t\($0)", .uint8, [1]) })
        let text = Array(header.encoded().dropFirst(8))
        let read = try SafetensorsHeader(parsing: text, dataByteCount: count, path: "x")
        #expect(read.tensors.count == count && read == header)
    }
}
