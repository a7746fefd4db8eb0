import Foundation
import Storage
import Testing

/// Tokenizers of every kind that is read, against what the `tokenizers` library makes of the same
/// text; `Tests/Fixtures/make_tokenizers.py` asked it.
@Suite struct TokenizerAgreementTests {
    static let kinds = [
        "gpt2", "qwen2", "llama3", "deepseek2", "deepseek3", "o200k", "behaviors", "flags",
        "mixtral", "metaspace",
    ]

    static func ids(_ json: JSON?) throws -> [Int32] {
        try #require(json?.array).map { Int32(try #require($0.integer)) }
    }

    @Test(arguments: kinds) func agreesWithTheLibrary(kind: String) throws {
        let tokenizer = try Tokenizer(path: tokenizerFixture("\(kind).json"))
        let cases = try JSON(file: tokenizerFixture("\(kind).cases.json"))
        let texts = try #require(cases["texts"]?.array)
        let sequences = try #require(cases["sequences"]?.array)
        #expect(texts.count > 300 && sequences.count > 500)
        for item in texts {
            let text = try #require(item["text"]?.string)
            let what = Comment(rawValue: "\(text.debugDescription)")
            #expect(try tokenizer.encode(text) == Self.ids(item["ids"]), what)
            let found = try tokenizer.encode(text, recognizingSpecialTokens: true)
            #expect(found == (try Self.ids(item["special"])), what)
            let all = try tokenizer.encode(
                text, recognizingSpecialTokens: true, addingTemplate: true)
            #expect(all == (try Self.ids(item["template"])), what)
        }
        for item in sequences {
            let ids = try Self.ids(item["ids"])
            let what = Comment(rawValue: "\(ids)")
            // Swift compares strings up to canonical equivalence; ids do not.
            #expect(
                Array(tokenizer.decode(ids).utf8) == Array((item["text"]?.string ?? "?").utf8),
                what)
            let all = tokenizer.decode(ids, skippingSpecialTokens: false)
            #expect(Array(all.utf8) == Array((item["all"]?.string ?? "?").utf8), what)
        }
    }

    /// The tokenizers of the reference checkpoints.
    @Test(arguments: ["deepseek_v2", "mixtral", "olmoe", "qwen2_moe", "qwen3_moe"])
    func readsTheReferenceCheckpoints(family: String) throws {
        let tokenizer = try Tokenizer(path: tokenizerFixture("../\(family)/tokenizer.json"))
        let cases = try JSON(file: tokenizerFixture("../\(family)/tokenizer_cases.json"))
        let items = try #require(cases.array)
        #expect(items.count > 10)
        for item in items {
            let text = try #require(item["text"]?.string)
            let ids = try tokenizer.encode(text, recognizingSpecialTokens: true)
            #expect(ids == (try Self.ids(item["ids"])), "\(text.debugDescription)")
        }
    }
}
