import Foundation
import Storage
import Testing

@Suite struct BytePairTrainerTests {
    /// Text with many pairs that are equally common, and runs in which pairs overlap.
    static let documents: [String] = {
        var generator = Generator(seed: 3)
        let syllables = [
            "ba", "na", "aa", "aaa", "to", "ab", "é", "日本", " ", " ", "\n", "12", "345", "'s",
        ]
        return (0..<60).map { _ in
            (0..<80).map { _ in syllables.randomElement(using: &generator) ?? "" }.joined()
        }
    }()

    static func train(
        _ split: BytePairTrainer.Split, size: Int, special: [String] = [],
        documents: [String] = documents
    ) throws -> BytePairTrainer.Result {
        var trainer = try BytePairTrainer(split: split)
        for document in documents { try trainer.add(Array(document.utf8)) }
        return try trainer.train(vocabularySize: size, special: special)
    }

    @Test(arguments: BytePairTrainer.Split.allCases)
    func whatIsLearnedIsRead(split: BytePairTrainer.Split) throws {
        let result = try Self.train(split, size: 400, special: ["<|end|>", "<|pad|>"])
        #expect(result.vocabularySize == 400)
        #expect(result.merges == 400 - 258)
        let tokenizer = try Tokenizer(parsing: result.fileBytes, path: "tokenizer.json")
        #expect(tokenizer.vocabularySize == 400)
        #expect(tokenizer.id(of: "<|end|>") == 0 && tokenizer.isSpecial(1))
        let text = Self.documents[0]
        let ids = try tokenizer.encode(text)
        #expect(tokenizer.decode(ids) == text)
        #expect(ids.count < text.utf8.count / 2)
        let configuration = try JSON(parsing: result.configurationFileBytes)
        #expect(configuration["eos_token"] == "<|end|>" && configuration["pad_token"] == "<|pad|>")
    }

    @Test func theCommonestPairGoesFirstAndOfEqualsTheLowest() throws {
        let result = try Self.train(.gpt2, size: 259, documents: ["xyxy xy", "abab", "cd"])
        let model = try JSON(parsing: result.fileBytes)["model"]
        #expect(model?["merges"] == [["x", "y"], ["a", "b"], ["c", "d"]])
    }

    @Test func theSameTextGivesTheSameFile() throws {
        let first = try Self.train(.qwen2, size: 500, special: ["<|end|>"])
        let second = try Self.train(.qwen2, size: 500, special: ["<|end|>"])
        #expect(first.fileBytes == second.fileBytes)
    }

    @Test func stopsWhereNoPairIsLeft() throws {
        let result = try Self.train(.gpt2, size: 1_000, documents: ["abc", ""])
        #expect(result.vocabularySize == 258 && result.merges == 2)
    }

    @Test(
        arguments: [
            (257, ["a", "b"]), (1_000_001, []), (300, ["", "x"]), (300, ["x", "x"]), (300, ["a"]),
            (300, ["Ġ"]),
        ] as [(Int, [String])])
    func refusesWhatCanNotBe(size: Int, special: [String]) throws {
        #expect(
            try code { _ = try Self.train(.gpt2, size: size, special: special) } == .unsupported)
    }

    @Test func documentsComeFromTextAndFromLines() throws {
        let folder = try TemporaryFolder()
        try folder.write("plain", to: "a.txt")
        try folder.write("{\"body\": \"one\"}\n\n{\"body\": \"t\\u0077o\"}\r\n", to: "b.jsonl")
        let documents = try CorpusDocument.load(paths: [folder.path], textKey: "body")
        #expect(
            documents.map { String(decoding: $0.bytes, as: UTF8.self) } == ["plain", "one", "two"])
        let error = #expect(throws: StorageError.self) {
            try CorpusDocument.load(paths: [folder.path], textKey: "text")
        }
        #expect(error?.message.contains("line 1 of b.jsonl") == true)
    }
}
