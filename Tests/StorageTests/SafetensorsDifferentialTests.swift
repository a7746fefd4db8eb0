import Foundation
import Storage
import Testing

/// Damaged headers, judged by us and by the `safetensors` library: docs/decisions/0011.
@Suite struct SafetensorsDifferentialTests {
    private static let seeds: [(header: String, dataByteCount: Int)] = [
        (
            #"{"__metadata__":{"f":"p"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"#
                + #""b":{"dtype":"BF16","shape":[2,2],"data_offsets":[8,16]}}"#, 16
        ),
        (
            #"{"é":{"shape":[],"dtype":"F64","data_offsets":[0,8]},"#
                + #""e":{"dtype":"F4","shape":[0,9],"data_offsets":[8,8]}}  "#, 8
        ),
        (#"{"\u00e9":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}}"#, 8),
        (#"{"c":{"dtype":"F6_E2M3","shape":[4],"data_offsets":[0,3]}}"#, 3),
    ]

    private static let tensor = #"{"dtype":"U8","shape":[8],"data_offsets":[0,8]}"#

    /// Each place of the decision once, in its order.
    private static let strict = [
        #"{"a":\#(tensor),"a":\#(tensor)}"#,
        "{\"\u{e9}\":\(tensor),\"e\u{301}\":"
            + #"{"dtype":"U8","shape":[0],"data_offsets":[8,8]}}"#,
        #"{"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8],"more":1}}"#,
        #"{"a":["U8",[8],[0,8]]}"#,
        " {\"a\":\(tensor)}",
        #"{"a":{"dtype":"U8","shape":[0,9223372036854775808],"data_offsets":[0,0]},"#
            + "\"b\":\(tensor)}",
        #"{"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8],"more":"#
            + String(repeating: "[", count: 64) + String(repeating: "]", count: 64) + "}}",
    ]

    private static let pieces = [
        "1152921504606846976", "9223372036854775808", "18446744073709551615", "-1", "-0", "1e3",
        "8.0", "8", "0", "2", "[", "]", "{", "}", "\"", ",", ":", " ", "\n", "null", "true", "{}",
        "[]", #"\ud800"#, #"\ud83d\ude00"#, #"\u0000"#, "\u{e9}", "e\u{301}", "U8", "I64",
        "F8_E4M3",
        "F8_E8M0", "C64", "BOOL", "F99", #""a":"#, #""__metadata__":null,"#, #""x":1,"#,
        #""z":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"#,
        #""z":{"dtype":"U8","shape":[0,18446744073709551615],"data_offsets":[0,0]},"#,
        #""z":["U8",[0],[0,0]],"#, #""z":{"dtype":{"U8":null},"shape":[0],"data_offsets":[0,0]},"#,
        #""z":{"dtype":"U8","shape":[0],"data_offsets":[0,0],"more":[1]},"#,
    ].map { Array($0.utf8) }

    /// What we say where the library is content, one for each place of the decision.
    private static let stricter = [
        "a second time", "composed otherwise", "something else than dtype", "no header in it",
        "not a count", "nested deeper",
    ]

    private func mutated(_ text: [UInt8], _ generator: inout Generator) -> [UInt8] {
        var text = text
        // Places where something may stand, so that many of the results are well-formed.
        let places = text.indices.filter { "{[,:\"".utf8.contains(text[$0]) }.map { $0 + 1 }
        for _ in 0..<Int.random(in: 0...2, using: &generator) {
            let place =
                Bool.random(using: &generator)
                ? places.randomElement(using: &generator) ?? 0
                : Int.random(in: 0...text.count, using: &generator)
            let start = min(place, text.count)
            let end = min(text.count, start + Int.random(in: 0...3, using: &generator))
            switch Int.random(in: 0..<4, using: &generator) {
            case 0: text.removeSubrange(start..<end)
            case 1 where start < text.count:
                text[start] = UInt8.random(in: 0...255, using: &generator)
            case 2:
                text.insert(
                    contentsOf: Self.pieces.randomElement(using: &generator) ?? [], at: start)
            default:
                text.replaceSubrange(
                    start..<end, with: Self.pieces.randomElement(using: &generator) ?? [])
            }
        }
        return text
    }

    private func littleEndian(_ number: Int) -> [UInt8] {
        (0..<8).map { UInt8(truncatingIfNeeded: number >> (8 * $0)) }
    }

    @Test func acceptsNothingThatTheLibraryRefuses() throws {
        let folder = try TemporaryFolder()
        var generator = Generator(seed: 31)
        var cases: [(text: [UInt8], data: Int)] = []
        for seed in Self.seeds {
            cases.append((Array(seed.header.utf8), seed.dataByteCount))
            for _ in 0..<5000 {
                cases.append((mutated(Array(seed.header.utf8), &generator), seed.dataByteCount))
            }
        }
        cases += Self.strict.map { (Array($0.utf8), 8) }
        var files: [UInt8] = []
        for (text, data) in cases {
            files += littleEndian(8 + text.count + data) + littleEndian(text.count) + text
            files += [UInt8](repeating: 0, count: data)
        }
        try folder.write(files, to: "files")
        try PythonPeerTests().python(
            "safetensors_differential.py", folder.path("files"), folder.path("answers.json"))
        let json = try JSONSerialization.jsonObject(
            with: Data(contentsOf: URL(fileURLWithPath: folder.path("answers.json"))))
        let answers = try #require(json as? [Any])
        #expect(answers.count == cases.count)

        var both = 0
        var stricter: [String: Int] = [:]
        for ((text, data), answer) in zip(cases, answers) {
            let shown = String(decoding: text, as: UTF8.self)
            let theirs = (answer as? [String: Any])?.keys.map { Array($0.utf8) }
            do throws(StorageError) {
                let ours = try SafetensorsHeader(parsing: text, dataByteCount: data, path: "x")
                let names = ours.tensors.map { Array($0.name.utf8) }
                #expect(theirs.map(Set.init) == Set(names), "only we accept \(shown)")
                both += 1
            } catch {
                guard theirs != nil else { continue }
                let reason = Self.stricter.first { error.description.contains($0) }
                stricter[reason ?? "", default: 0] += 1
                #expect(reason != nil, "only we refuse \(shown): \(error)")
            }
        }
        // Else the two would agree on nothing but refusals.
        #expect(both > 2000, "\(both) of \(cases.count) accepted by both")
        #expect(Set(stricter.keys) == Set(Self.stricter), "\(stricter)")
    }
}
