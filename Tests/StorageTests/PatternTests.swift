import Foundation
import Testing

@testable import Storage

@Suite struct PatternTests {
    /// The matches of `pattern` in `text`.
    private func matches(_ pattern: String, _ text: String) throws -> [String] {
        let compiled = try Pattern(pattern)
        let bytes = Array(text.utf8)
        var effort = Pattern.Effort()
        effort.restart(byteCount: bytes.count)
        var found: [String] = []
        var position = 0
        while let match = compiled.firstMatch(in: bytes, position..<bytes.count, &effort) {
            found.append(String(decoding: bytes[match], as: UTF8.self))
            position = match.upperBound
        }
        try #require(!effort.isExhausted)
        return found
    }

    @Test(
        arguments: [
            ("a", "banana", ["a", "a", "a"]), ("an|a|ana", "banana", ["an", "an", "a"]),
            ("a+", "aaba", ["aa", "a"]), ("a?b", "aabb", ["ab", "b"]),
            ("a{2}", "aaaaa", ["aa", "aa"]),
            ("a{2,3}", "aaaaa", ["aaa", "aa"]), ("a{2,}", "aabaaaa", ["aa", "aaaa"]),
            ("(?:ab|c)+d", "ababcdabx", ["ababcd"]), ("(ab){2,3}c?", "abababab", ["ababab"]),
            ("a(b|bc)d", "abdabcd", ["abd", "abcd"]), ("[^a-c]+", "abxyc\u{e9}", ["xy", "\u{e9}"]),
            (#"\p{Lu}\p{Ll}*"#, "ÄpfelUnd", ["Äpfel", "Und"]),
            (#"[\p{L}\p{N}]+"#, "a1 ß²,", ["a1", "ß²"]),
            (#"\P{L}+"#, "a12b", ["12"]), (#"\p{^L}+"#, "a12b", ["12"]),
            (#"[^\S\n]+"#, "a \t\nb", [" \t"]),
            (#"\s+(?!\S)"#, "a   b  ", ["  ", "  "]), (#"x(?=y)"#, "xyxz", ["x"]),
            ("(?i:'s|k)", "'S'ſKK", ["'S", "'ſ", "K", "K"]),
            ("(?i:[sk])x", "ſxKxkxSx", ["ſx", "Kx", "kx", "Sx"]), ("a++b", "aab", ["aab"]),
            ("a++a", "aaa", []),
            (#"[\]\-\\^]+"#, #"a]-\^b"#, [#"]-\^"#]),
            (#"\u00e9|\x41|\x{1F600}"#, "éA😀", ["é", "A", "😀"]),
            ("[一-三]+", "一丁三四", ["一丁三"]),
            ("[a\u{10000}-\u{10ffff}]", "a\u{10ffff}", ["a", "\u{10ffff}"]),
            ("(a|b)*c", "ababcc", ["ababc", "c"]), (#"\s*[\r\n]+"#, "  \n \n x ", ["  \n \n"]),
        ] as [(String, String, [String])])
    func findsTheLeftmostOfTheFirst(pattern: String, text: String, found: [String]) throws {
        let matches = try matches(pattern, text)
        #expect(matches.map { Array($0.utf8) } == found.map { Array($0.utf8) })
    }

    @Test func lineEndsAtALineFeedOrTheEnd() throws {
        #expect(try matches("a$", "a\naba") == ["a", "a"])
        #expect(try matches(#"\s+$"#, "a  \n b ") == ["  ", " "])
    }

    @Test(arguments: [
        ("a.b", "\".\""), ("^a", "\"^\""), ("a*?", "lazy"), ("a|*", "\"*\""), ("(?<=a)b", "(?"),
        (#"\w"#, #""\w""#), (#"\bx"#, #""\b""#), (#"\p{Han}"#, "\"Han\""), (#"\pL"#, "property"),
        ("[a", "\"]\""), ("[]", "\"]\""), ("[a&&b]", "intersection"),
        ("[[:alpha:]]", "class in a class"),
        ("(a", "\")\""), ("a)", "\"(\""), ("a{2,1}", "count"), ("a{,3}", "count"),
        ("a{9999}", "count"),
        ("a{0}", "count"), ("a*", "nothing"), ("", "nothing"), ("(a*)+b", "may be empty"),
        ("a|", "nothing"),
        ("a**", "repetition of a repetition"), ("(ab)++", "possessive"), ("(?!ab)c", "lookahead"),
        ("(?i:ß)", "beyond ASCII"), ("(?i:st)", "\"st\""), (#"(?i:\p{Lu})"#, "\"Lu\""),
        (#"a\"#, "at the end"),
        (#"\x80"#, "byte"), (#"\u12"#, "bad"), (#"\1"#, #""\1""#), ("[z-a]", "bad range"),
        ("a{", "count"),
        (String(repeating: "(", count: 50) + "a" + String(repeating: ")", count: 50), "too deep"),
        ("((((a{1000}){1000}){1000}){1000})", "steps"),
        (String(repeating: "a", count: 20_001), "characters"),
    ])
    func refusesWhatItDoesNotKnow(pattern: String, named: String) throws {
        let error = #expect(throws: PatternError.self) { try Pattern(pattern) }
        #expect(error?.problem.contains(named) == true, "\(String(describing: error))")
    }

    /// A pattern that turns back without end is given up; what real ones do to long runs is not.
    @Test func effortIsBounded() throws {
        var effort = Pattern.Effort()
        let text = Array(repeating: UInt8(ascii: "a"), count: 400)
        effort.restart(byteCount: text.count)
        let hostile = try Pattern("(a|aa)+b")
        #expect(hostile.firstMatch(in: text, 0..<text.count, &effort) == nil)
        #expect(effort.isExhausted)

        // Nor does a long text fill the memory with places to turn back to.
        let long = Array(repeating: UInt8(ascii: "a"), count: Pattern.untriedMax + 10)
        effort.restart(byteCount: long.count)
        #expect(try Pattern("(?:ab|a)+").firstMatch(in: long, 0..<long.count, &effort) == nil)
        #expect(effort.isExhausted)

        let spaces = Array(String(repeating: " ", count: 20_000).utf8) + Array("x".utf8)
        for source in [#"\s+$"#, Pattern.qwen2, Pattern.gpt2] {
            effort.restart(byteCount: spaces.count)
            _ = try Pattern(source).firstMatch(in: spaces, 0..<spaces.count, &effort)
            #expect(!effort.isExhausted, "\(source)")
        }
    }

    /// Every scalar is of the kind that the library takes it for.
    @Test func kindsAreTheLibrarys() throws {
        let runs = try #require(JSON(file: tokenizerFixture("scalar_kinds.json")).array)
        var expected: [(first: UInt32, name: String, isWhitespace: Bool)] = []
        for run in runs {
            let parts = try #require(run.array)
            expected.append(
                (
                    UInt32(try #require(parts[0].integer)), try #require(parts[1].string),
                    parts[2] == true
                ))
        }
        #expect(expected.count > 3_000)
        var wrong: [UInt32] = []
        for (index, run) in expected.enumerated() {
            let end = index + 1 < expected.count ? expected[index + 1].first : 0x110000
            let raws = (ScalarKind.categories(named: run.name) ?? []).map {
                $0.rawValue | (run.isWhitespace ? ScalarKind.whitespaceBit : 0)
            }
            for value in run.first..<end where Unicode.Scalar(value) != nil {
                if !raws.contains(ScalarKindTable.shared.rawKind(of: value)) { wrong.append(value) }
            }
        }
        #expect(wrong == [])
    }

    /// What is passed over as composed is composed in every surrounding.
    @Test func inertScalarsNeverChange() {
        for value in Composition.inertRanges.joined() {
            guard let scalar = Unicode.Scalar(value) else { continue }
            #expect(scalar.properties.canonicalCombiningClass == .notReordered)
            let bytes = Array(String(scalar).utf8)
            #expect(Composition.isComposed(bytes) == false || Composition.composed(bytes) == bytes)
            // Behind a letter that takes part in many compositions it stays what it is.
            let pair = Array("e".utf8) + bytes
            #expect(Composition.composed(pair) == pair, "\(String(value, radix: 16))")
        }
    }
}
