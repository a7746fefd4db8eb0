import Storage
import Testing

/// Everything that a hostile or broken header can say, and what becomes of it.
@Suite struct SafetensorsHeaderTests {
    private func parse(_ text: String, data: Int = 16) throws(StorageError) -> SafetensorsHeader {
        try SafetensorsHeader(parsing: Array(text.utf8), dataByteCount: data, path: "x")
    }

    private static let first = #""a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}"#
    private static let second = #""b":{"dtype":"F32","shape":[2,1],"data_offsets":[8,16]}"#

    @Test func readsTensorsInAnyOrder() throws {
        for text in ["{\(Self.first),\(Self.second)}", "{\(Self.second),\(Self.first)}   "] {
            let header = try parse(text)
            #expect(header.tensors.map(\.name) == ["a", "b"])
            #expect(header.tensor(named: "b")?.shape == [2, 1])
            #expect(header.tensor(named: "b")?.bytes == 8..<16)
            #expect(header.dataByteCount == 16)
        }
    }

    @Test func readsScalarsAndEmptyTensors() throws {
        let header = try parse(
            #"{"s":{"dtype":"F64","shape":[],"data_offsets":[0,8]},"#
                + #""e":{"dtype":"U8","shape":[0,9],"data_offsets":[8,8]}}"#,
            data: 8)
        #expect(header.tensor(named: "s")?.count == 1)
        #expect(header.tensor(named: "e")?.count == 0)
        #expect(try parse("{}", data: 0).tensors.isEmpty)
    }

    @Test(arguments: [
        "", "[]", "null", "{", "  {}", "{}x",
        "{\(first)}",  // bytes left over
        "{\(first),\(first)}",  // a name twice
        #"{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},"#
            + #""b":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}}"#,
        #"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},\#(second)}"#,  // a gap
        #"{"a":{"dtype":"F32","shape":[4],"data_offsets":[16,0]}}"#,
        #"{"a":{"dtype":"F32","shape":[4],"data_offsets":[-16,0]}}"#,
        #"{"a":{"dtype":"F32","shape":[5],"data_offsets":[0,20]}}"#,  // beyond the end
        #"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,16]}}"#,  // shape of fewer bytes
        #"{"a":{"dtype":"F64","shape":[4],"data_offsets":[0,16]}}"#,
        #"{"a":{"dtype":"F32","shape":[-4],"data_offsets":[0,16]}}"#,
        #"{"a":{"dtype":"F32","shape":[-2,-2],"data_offsets":[0,16]}}"#,
        #"{"a":{"dtype":"F32","shape":[4.0],"data_offsets":[0,16]}}"#,
        #"{"a":{"dtype":"F32","shape":[1152921504606846976],"data_offsets":[0,16]}}"#,
        #"{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}"#,
        #"{"a":{"dtype":"F32","shape":[4611686018427387905],"data_offsets":[0,16]}}"#,
        #"{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,1152921504606846976]}}"#,
        #"{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,99999999999999999999]}}"#,
        #"{"a":{"dtype":"F32","shape":[4],"data_offsets":[0]}}"#,
        #"{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,8,16]}}"#,
        #"{"a":{"dtype":"F32","shape":4,"data_offsets":[0,16]}}"#,
        #"{"a":{"dtype":4,"shape":[4],"data_offsets":[0,16]}}"#,
        #"{"a":{"dtype":"F32","shape":[4]}}"#,
        #"{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16],"more":1}}"#,
        #"{"a":[]}"#, #"{"__metadata__":[]}"#, #"{"__metadata__":{"a":1}}"#,
        // Two names that Swift's strings hold for equal.
        "{\"\u{e9}\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0,8]},"
            + "\"e\u{301}\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[8,16]}}",
    ])
    func refuses(_ text: String) throws {
        #expect(try code { _ = try parse(text) } == .corrupt)
    }

    /// Shapes whose bytes, counted in 64 bits, come out as the bytes that are there.
    @Test(arguments: [
        ([0x1_0000_0000, 0x1_0000_0000], 0), ([0x4000_0000_0000_0001], 4),
        ([0x1000_0000_0000_0000, 4, 1, 1], 0),
    ])
    func refusesAShapeBeyondAllMemory(shape: [Int], bytes: Int) throws {
        let text = #"{"a":{"dtype":"F32","shape":\#(shape),"data_offsets":[0,\#(bytes)]}}"#
        #expect(try code { _ = try parse(text, data: bytes) } == .corrupt)
    }

    @Test func namesAnUnknownType() throws {
        let text = #"{"a":{"dtype":"F5","shape":[4],"data_offsets":[0,16]}}"#
        #expect(try code { _ = try parse(text) } == .unsupported)
    }

    @Test func encodesToAMultipleOfEightBytes() throws {
        for length in 0..<9 {
            let name = String(repeating: "n", count: length)
            let header = SafetensorsHeader(
                tensors: [(name, .float32, [2, 2])], metadata: ["format": "pt", "k": "\"é\n"])
            let bytes = header.encoded()
            #expect(bytes.count % 8 == 0)
            #expect(Int(bytes[0]) | Int(bytes[1]) << 8 == bytes.count - 8)
            let text = Array(bytes.dropFirst(8))
            #expect(
                try SafetensorsHeader(parsing: text, dataByteCount: 16, path: "x") == header)
        }
    }

    /// 120,000 damaged headers: each is refused with a ``StorageError``, or is sound after all.
    @Test(arguments: 0..<4) func survivesDamage(seed: UInt64) throws {
        let valid = Array("{\"__metadata__\":{\"f\":\"p\"},\(Self.first),\(Self.second)}".utf8)
        let words = [
            "1152921504606846976", "-1", "18446744073709551616", "1e400", "[", "]", "{", "}",
            "\"", ",", ":", "0", "null", "\\u", "\\ud800", "\"a\":", "\"data_offsets\"", "[0,8]",
        ].map { Array($0.utf8) }
        var generator = Generator(seed: seed + 1)
        var sound = 0
        for _ in 0..<30_000 {
            var text = valid
            for _ in 0..<Int.random(in: 1...4, using: &generator) {
                let place = Int.random(in: 0..<text.count, using: &generator)
                let end = min(
                    text.count, place + Int.random(in: 0...6, using: &generator))
                switch Int.random(in: 0..<3, using: &generator) {
                case 0: text[place] = UInt8.random(in: 0...255, using: &generator)
                case 1: text.removeSubrange(place..<end)
                default:
                    text.replaceSubrange(
                        place..<end, with: words.randomElement(using: &generator) ?? [])
                }
                if text.isEmpty { text = [0x7b] }
            }
            guard let header = try? SafetensorsHeader(parsing: text, dataByteCount: 16, path: "x")
            else { continue }
            sound += 1
            var end = 0
            for tensor in header.tensors {
                #expect(tensor.bytes.lowerBound == end)
                #expect(tensor.shape.reduce(tensor.type.byteCount, *) == tensor.bytes.count)
                end = tensor.bytes.upperBound
            }
            #expect(end == 16)
        }
        // Damage to a name or to the metadata leaves a sound header: some pass, most do not.
        #expect(sound > 100 && sound < 10_000, "\(sound) of 30,000 sound")
    }
}
