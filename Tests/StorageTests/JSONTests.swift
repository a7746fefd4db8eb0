import Storage
import Testing

@Suite struct JSONTests {
    private func parse(_ text: String) throws(JSONSyntaxError) -> JSON {
        try JSON(parsing: Array(text.utf8))
    }

    @Test func readsEveryKindOfValue() throws {
        let json = try parse(
            #" {"a": [null, true, false, -12, 0.5, 1e2], "#
                + #""b": {"c": "\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00"}} "#
        )
        #expect(
            json == [
                "a": [nil, true, false, -12, .number(0.5), .number(100)],
                "b": ["c": "\"\\/\u{8}\u{c}\n\r\té😀"],
            ])
        #expect(json["a"]?.array?[3].integer == -12)
        #expect(json["none"] == nil)
    }

    @Test(arguments: [
        "", " ", "{", "[1,]", "[1 2]", "{\"a\"}", "{\"a\":1,}", "{a:1}", "tru", "nul", "01", "-",
        "1.", ".5", "+1", "1e", "1e999", "NaN", "Infinity", "\"", "\"\\", "\"\\x\"", "\"\\u12\"",
        "\"\\ud800\"", "\"\\ud800\\u0041\"", "\"\\udc00\"", "\"\n\"", "1 1", "{} {}", "[}",
        "{\"a\":1,\"a\":2}", "// no\n1", "'a'",
    ])
    func refuses(_ text: String) {
        #expect(throws: JSONSyntaxError.self) { try parse(text) }
    }

    @Test func refusesTextThatIsNotUTF8() {
        #expect(throws: JSONSyntaxError.self) { try JSON(parsing: [0x22, 0xff, 0x22]) }
        #expect(throws: JSONSyntaxError.self) { try JSON(parsing: [0x22, 0xc3, 0x22]) }
    }

    @Test func boundsTheDepth() throws {
        func nested(_ depth: Int) -> String {
            String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
        }
        _ = try parse(nested(JSON.depthMax))
        #expect(throws: JSONSyntaxError.self) { try parse(nested(JSON.depthMax + 1)) }
        #expect(throws: JSONSyntaxError.self) { try parse(nested(1_000_000)) }
    }

    @Test func boundsTheNumberOfValues() throws {
        let bytes = Array(#"{"a":[1,"b",[]]}"#.utf8)
        #expect(try JSON(parsing: bytes, valuesMax: 5)["a"]?.array?.count == 3)
        let error = #expect(throws: JSONSyntaxError.self) {
            try JSON(parsing: bytes, valuesMax: 4)
        }
        #expect(error?.problem == "more than 4 values")
    }

    @Test func tellsNamesApartByTheirBytes() throws {
        // The same letter composed and decomposed, which Swift's strings hold for equal.
        let json = try parse("{\"\u{e9}\": 1, \"e\u{301}\": 2}")
        #expect(json.members?.count == 2)
    }

    @Test func encodesWhatItReads() throws {
        let json: JSON = [
            "text": "\u{0}\u{1f}\"\\/é😀\u{7f}", "numbers": [0, -1, .integer(.max), .number(1e-5)],
            "empty": [], "none": [:], "words": [true, false, nil],
        ]
        #expect(try JSON(parsing: json.encoded()) == json)
        #expect(try JSON(parsing: json.encoded(indented: true)) == json)
        let small: JSON = ["a": [1, 2], "b": [:]]
        #expect(String(decoding: small.encoded(), as: UTF8.self) == #"{"a":[1,2],"b":{}}"#)
        #expect(
            String(decoding: small.encoded(indented: true), as: UTF8.self)
                == "{\n  \"a\": [\n    1,\n    2\n  ],\n  \"b\": {}\n}\n")
    }
}
