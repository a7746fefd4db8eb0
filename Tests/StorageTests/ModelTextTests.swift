import Foundation
import Tensors
import Testing

@testable import Storage

/// Text as the model of a folder reads it.
@Suite struct ModelTextTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    /// The small model's folder, with `tokenizer` and what stands beside it.
    private func checkpoint(
        tokenizer: [UInt8]?, beside: String? = nil, configuration: String = "{}"
    ) throws -> Checkpoint {
        var documents = [(name: "config.json", contents: Array(configuration.utf8))]
        if let tokenizer { documents.append(("tokenizer.json", tokenizer)) }
        if let beside { documents.append(("tokenizer_config.json", Array(beside.utf8))) }
        try ModelFolder.write(
            smallParameters, layout: smallLayout, documents: documents, to: folder.path("model"))
        return try Checkpoint.open(folder.path("model"))
    }

    private func text(
        _ paths: [String], _ checkpoint: Checkpoint, vocabularySize: Int = 1_000
    ) throws -> TrainingText {
        try TrainingText.load(
            paths: paths, heldOutFraction: 0.2, for: checkpoint, vocabularySize: vocabularySize)
    }

    private static let qwen = #"{"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}"#
    /// A hundred letters each, of which the last twenty are held out.
    private static let documents = ["one fish, ", "red fish! "].map {
        String(repeating: $0, count: 10)
    }

    private func writeDocuments() throws -> String {
        for (number, document) in Self.documents.enumerated() {
            try folder.write(document, to: "text/\(number).txt")
        }
        return folder.path("text")
    }

    @Test("Text is the folder's tokens, and each document ends with the folder's token")
    func textIsTheFoldersTokens() throws {
        let checkpoint = try checkpoint(
            tokenizer: bytes(at: tokenizerFixture("qwen2.json")), beside: Self.qwen)
        let text = try text([writeDocuments()], checkpoint, vocabularySize: 903)
        guard case .encoded(let corpus) = text else {
            Issue.record("the text is not encoded")
            return
        }
        let tokenizer = try checkpoint.tokenizer()
        #expect(
            try corpus.train
                == Self.documents.flatMap { try tokenizer.encode(String($0.prefix(80))) + [902] })
        #expect(
            try corpus.heldOut
                == Self.documents.flatMap { try tokenizer.encode(String($0.suffix(20))) + [902] })
        #expect(corpus.report.documents == 2 && corpus.report.bytes == 200)
        #expect(text.vocabularySize == 903 && text.endToken == 902 && text.paddingToken == 900)
        #expect(text.tokenizerBytes == tokenizer.fileBytes)

        let source = try text.source(sequenceLength: 4, seed: 1)
        let start = source.window(of: 3) * 4
        #expect(source.sequences(3..<4) == Array(corpus.train[start...start + 4]))
        #expect(source.heldOutSequences(0..<1) == Array(corpus.heldOut.prefix(5)))
        let documents = CheckpointDocuments(
            configuration: [], contextLength: 8, text: text)
        #expect(documents.tokenizer == tokenizer.fileBytes)
        #expect(documents.tokenizerConfiguration == Array(Self.qwen.utf8))
        #expect(try JSON(parsing: documents.generation)["eos_token_id"] == 902)
    }

    @Test("Other tokens are other text to a resume")
    func fingerprintsTellApart() throws {
        let checkpoint = try checkpoint(
            tokenizer: bytes(at: tokenizerFixture("qwen2.json")), beside: Self.qwen)
        let path = try writeDocuments()
        func fingerprint() throws -> UInt64 {
            try text([path], checkpoint).source(sequenceLength: 4, seed: 1).fingerprint
        }
        let first = try fingerprint()
        #expect(try fingerprint() == first)
        try folder.write(Self.documents[0].uppercased(), to: "text/0.txt")
        #expect(try fingerprint() != first)
    }

    /// A tokenizer whose end token has none of the usual names.
    private static let unusual = "../qwen3_moe/tokenizer.json"

    @Test("Where nothing beside the tokenizer names the end of a document, config.json does")
    func configJSONNamesTheEnd() throws {
        let checkpoint = try checkpoint(
            tokenizer: bytes(at: tokenizerFixture(Self.unusual)),
            configuration: #"{"eos_token_id": [5000, 317]}"#)
        #expect(try text([writeDocuments()], checkpoint).endToken == 317)
    }

    @Test("A folder that does not say how documents end is refused")
    func anEndIsNeeded() throws {
        let checkpoint = try checkpoint(
            tokenizer: bytes(at: tokenizerFixture(Self.unusual)))
        let error = #expect(throws: StorageError.self) {
            try text([writeDocuments()], checkpoint)
        }
        #expect(error?.code == .missing)
        #expect(
            error?.message
                == "\(checkpoint.path)/tokenizer.json does not say which token ends a document; "
                + "say eos_token in tokenizer_config.json beside it")
    }

    @Test("Without a tokenizer text is bytes, if the model knows as many tokens")
    func withoutATokenizerTextIsBytes() throws {
        let checkpoint = try checkpoint(tokenizer: nil)
        let path = try writeDocuments()
        guard case .bytes(let corpus) = try text([path], checkpoint, vocabularySize: 258) else {
            Issue.record("the text is not bytes")
            return
        }
        #expect(corpus.train.count == 162)
        let error = #expect(throws: StorageError.self) {
            try text([path], checkpoint, vocabularySize: 257)
        }
        #expect(error?.code == .mismatch)
        #expect(
            error?.message
                == "\(checkpoint.path) has no tokenizer.json, and a vocabulary of 257, too small "
                + "for bytes, which take 258; put the model's tokenizer there")
    }

    @Test("The tokenizer of bytes reads bytes")
    func theTokenizerOfBytesReadsBytes() throws {
        let checkpoint = try checkpoint(tokenizer: ByteTokenizer.fileBytes)
        guard case .bytes = try text([writeDocuments()], checkpoint) else {
            Issue.record("the text is not bytes")
            return
        }
    }

    @Test("Tokens that the model does not know are refused")
    func unknownTokensAreRefused() throws {
        let checkpoint = try checkpoint(
            tokenizer: bytes(at: tokenizerFixture("qwen2.json")), beside: Self.qwen)
        let error = #expect(throws: StorageError.self) {
            try text([writeDocuments()], checkpoint, vocabularySize: 902)
        }
        #expect(error?.code == .mismatch)
        #expect(
            error?.message
                == "the tokenizer of \(checkpoint.path) has 903 tokens, and its model only 902; "
                + "put the model's own tokenizer there")
    }

    // MARK: Prepared text

    /// Prepares the documents with `tokenizer`; the path of the folder.
    private func prepare(_ tokenizer: [UInt8]) async throws -> String {
        try folder.write(tokenizer, to: "tokenizer/tokenizer.json")
        var preparation = Preparation(
            inputs: [try writeDocuments()], tokenizer: folder.path("tokenizer"),
            output: folder.path("prepared"))
        preparation.heldOutFraction = 0.2
        _ = try await preparation.run()
        return preparation.output
    }

    @Test("Prepared text is taken as it is where its tokenizer is the folder's")
    func preparedTextOfTheSameTokenizerIsTaken() async throws {
        let tokenizer = try bytes(at: tokenizerFixture("qwen2.json"))
        let path = try await prepare(tokenizer)
        guard case .prepared = try text([path], checkpoint(tokenizer: tokenizer)) else {
            Issue.record("the text is not prepared")
            return
        }
    }

    @Test("Prepared bytes are the text of a folder without a tokenizer")
    func preparedBytesNeedNoTokenizer() async throws {
        let path = try await prepare(ByteTokenizer.fileBytes)
        guard case .prepared = try text([path], checkpoint(tokenizer: nil)) else {
            Issue.record("the text is not prepared")
            return
        }
    }

    @Test(
        "Text prepared with another tokenizer is refused",
        arguments: [("gpt2.json" as String?, "has another"), (nil, "has none and so reads bytes")])
    func preparedTextOfAnotherTokenizerIsRefused(own: String?, problem: String) async throws {
        let path = try await prepare(bytes(at: tokenizerFixture("qwen2.json")))
        let checkpoint = try checkpoint(
            tokenizer: own.map { try bytes(at: tokenizerFixture($0)) })
        let error = #expect(throws: StorageError.self) {
            try text([path], checkpoint, vocabularySize: 100_000)
        }
        #expect(error?.code == .mismatch)
        #expect(
            error?.message
                == "\(path) was prepared with a tokenizer of its own, and \(checkpoint.path) "
                + "\(problem); prepare the text with the model's tokenizer")
    }
}
