import Foundation
import Storage
import Testing

/// Files that are no tokenizer, or none that is read here: one error that names the file and the
/// member.
@Suite struct TokenizerFileTests {
    private static func text(_ kind: String) throws -> String {
        String(decoding: try bytes(at: tokenizerFixture("\(kind).json")), as: UTF8.self)
    }

    private func error(_ text: String) throws -> StorageError {
        let error = #expect(throws: StorageError.self) {
            try Tokenizer(parsing: Array(text.utf8), path: "there/tokenizer.json")
        }
        let found = try #require(error)
        #expect(found.message.contains("there/tokenizer.json"), "\(found.message)")
        return found
    }

    @Test(arguments: [
        ("qwen2", #""truncation":null"#, #""truncation":{"max_length":5}"#, "truncation"),
        ("qwen2", #""padding":null"#, #""padding":{}"#, "padding"),
        ("qwen2", #""normalizer":{"#, #""other":1, "normalizer":{"#, "other"),
        ("qwen2", #""type":"NFC""#, #""type":"NFKC""#, "normalizer.type"),
        (
            "qwen2", #""type":"Split""#, #""type":"Whitespace""#,
            "pre_tokenizer.pretokenizers[0].type"
        ),
        ("qwen2", #""behavior":"Isolated""#, #""behavior":"Shifted""#, "behavior"),
        ("qwen2", #""invert":false"#, #""invert":3"#, "invert"),
        ("qwen2", #"\\p{N}|"#, #"\\p{Han}|"#, "pattern"),
        ("qwen2", #""type":"BPE""#, #""type":"Unigram""#, "model.type"),
        ("qwen2", #""dropout":null"#, #""dropout":0.1"#, "model.dropout"),
        ("qwen2", #""unk_token":null"#, #""unk_token":"<none>""#, "model.unk_token"),
        (
            "qwen2", #""continuing_subword_prefix":null"#, #""continuing_subword_prefix":"@@""#,
            "continuing_subword_prefix"
        ),
        (
            "qwen2", #""byte_fallback":false"#, #""byte_fallback":false, "speed":9"#,
            "model.speed"
        ),
        ("qwen2", #""!":0"#, #""!":-1"#, "model.vocab"),
        ("qwen2", #""!":0"#, #""!":1"#, "model.vocab"),
        ("qwen2", #""!":0"#, #""!":4000000"#, "model.vocab"),
        ("qwen2", #""merges":["#, #""merges":[["!", "zq"],"#, "model.merges"),
        ("qwen2", #""merges":["#, #""merges":[["!", "~"],"#, "model.merges"),
        ("qwen2", #""merges":["#, #""merges":[["!"],"#, "model.merges"),
        ("qwen2", #""merges":["#, #""merges":["a b c","#, "model.merges"),
        ("qwen2", #""id":900"#, #""id":901"#, "added_tokens[1].id"),
        ("qwen2", #""content":"<|im_end|>""#, #""content":"""#, "added_tokens[2].content"),
        ("qwen2", #""content":"<|im_end|>""#, #""content":"<|im_start|>""#, "content"),
        ("qwen2", #""content":"<|im_end|>""#, #""content":"a""#, "added_tokens[2].id"),
        (
            "qwen2", #""special":true"#, #""special":true, "color":"red""#,
            "added_tokens[0].color"
        ),
        (
            "llama3", #""type":"TemplateProcessing""#, #""type":"BertProcessing""#,
            "post_processor"
        ),
        ("llama3", #""id":"A""#, #""id":"B""#, "post_processor"),
        ("mixtral", #""type":"Fuse""#, #""type":"WordPiece""#, "decoder.decoders[2].type"),
        ("mixtral", #""stop":0"#, #""stop":1"#, "decoder.decoders[3].stop"),
        ("mixtral", #""prepend":"▁""#, #""prepend":7"#, "normalizer.normalizers[0].prepend"),
        (
            "metaspace", #""prepend_scheme":"first""#, #""prepend_scheme":"last""#,
            "prepend_scheme"
        ),
    ])
    func refusesByName(kind: String, found: String, replaced: String, named: String) throws {
        let text = try Self.text(kind)
        let range = try #require(text.range(of: found), "\(found)")
        let error = try error(text.replacingCharacters(in: range, with: replaced))
        #expect([.unsupported, .corrupt].contains(error.code))
        #expect(error.message.contains(named), "\(error.message)")
    }

    @Test(arguments: ["", "{}", "[]", #"{"model": 1}"#, #"{"model": {}}"#, "{\"model\"", "null"])
    func refusesWhatIsNoTokenizer(text: String) throws {
        #expect(try error(text).code == .corrupt)
    }

    @Test func missesWhatIsNotThere() throws {
        let folder = try TemporaryFolder()
        #expect(try code { _ = try Tokenizer(path: folder.path("none")) } == .missing)
    }

    /// Whatever byte is lost or changed, the file is read or refused, and never worse.
    @Test(arguments: ["qwen2", "mixtral"]) func damageIsFoundOrHarmless(kind: String) throws {
        let whole = try bytes(at: tokenizerFixture("\(kind).json"))
        var generator = Generator(seed: 11)
        for index in 0..<60 {
            var damaged = whole
            // Most of a file is vocabulary; what matters stands before it.
            let place = Int.random(
                in: 0..<(index % 2 == 0 ? 3_000 : whole.count), using: &generator)
            if index % 3 == 0 {
                damaged.removeSubrange(place...)
            } else {
                damaged[place] = UInt8.random(in: 0x20...0x7e, using: &generator)
            }
            guard let tokenizer = try? Tokenizer(parsing: damaged, path: "damaged") else {
                continue
            }
            let ids = try? tokenizer.encode("a b<s> \u{e9}\n", addingTemplate: true)
            _ = tokenizer.decode(ids ?? [0, 1, 2])
        }
    }

    /// Merges as older files write them are the same merges.
    @Test func readsMergesWithSpaces() throws {
        let tokenizer = try Tokenizer(path: tokenizerFixture("gpt2.json"))
        let document = try JSON(file: tokenizerFixture("gpt2.json"))
        let model = try #require(document["model"]?.members)
        let members = try #require(document.members).map { member -> JSON.Member in
            guard member.name == "model" else { return member }
            return JSON.Member(
                name: "model",
                value: .object(
                    model.map { part in
                        guard part.name == "merges", let pairs = part.value.array else {
                            return part
                        }
                        let texts = pairs.map { pair in
                            JSON.string(
                                (pair.array ?? []).compactMap(\.string).joined(separator: " "))
                        }
                        return JSON.Member(name: "merges", value: .array(texts))
                    }))
        }
        let other = try Tokenizer(parsing: JSON.object(members).encoded(), path: "older")
        let text = "The quick brown fox, naïve 日本語 12345"
        #expect(try other.encode(text) == tokenizer.encode(text))
    }

    @Test func knowsItsTokens() throws {
        let tokenizer = try Tokenizer(path: tokenizerFixture("qwen2.json"))
        #expect(tokenizer.id(of: "<|im_end|>") == 902)
        #expect(tokenizer.id(of: "!") == 0)
        #expect(tokenizer.id(of: "none such") == nil)
        #expect(tokenizer.token(902) == "<|im_end|>" && tokenizer.isSpecial(902))
        #expect(tokenizer.token(0) == "!" && !tokenizer.isSpecial(0))
        #expect(tokenizer.token(903) == nil && tokenizer.token(-1) == nil)
        #expect(tokenizer.vocabularySize == 903)
    }

    /// The longest words take the heap, the others a scan: both must find the same.
    @Test func longWordsMergeAsTheirPartsDo() throws {
        let tokenizer = try Tokenizer(path: tokenizerFixture("gpt2.json"))
        var encoder = TokenEncoder(tokenizer)
        // No merge crosses from "z" to "j", so the parts are merged on their own.
        let part = "thebrownfox"
        let ids = try encoder.encode(Array(part.utf8))
        let long = try encoder.encode(Array(String(repeating: part, count: 40).utf8))
        #expect(tokenizer.decode(long) == String(repeating: part, count: 40))
        #expect(long.count <= 40 * ids.count)
    }

    /// One pass over a text must not depend on what was encoded before it.
    @Test func rememberedWordsAreTheSame() throws {
        let tokenizer = try Tokenizer(path: tokenizerFixture("llama3.json"))
        var encoder = TokenEncoder(tokenizer)
        for text in ["a b a b the the", "", "the router the router", "日本 日本", "a b a b the the"] {
            #expect(try encoder.encode(Array(text.utf8)) == tokenizer.encode(text))
        }
    }
}
