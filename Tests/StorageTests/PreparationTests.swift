import Foundation
import Testing

@testable import Storage

@Suite struct PreparationTests {
    /// A folder with text of every kind that is taken, and a tokenizer.
    private struct Sources {
        let folder: TemporaryFolder
        var input: String { folder.path("text") }
        var tokenizer: String { folder.path("tokenizer") }

        init() throws {
            folder = try TemporaryFolder()
            let source = try bytes(at: tokenizerFixture("qwen2.json"))
            try folder.write(source, to: "tokenizer/tokenizer.json")
            try folder.write(
                #"{"eos_token": {"content": "<|im_end|>"}}"#, to: "tokenizer/tokenizer_config.json")
            for index in 0..<30 {
                try folder.write(Self.document(index), to: "text/folder/\(index).txt")
            }
            let lines = (100..<180).map { index in
                String(
                    decoding: JSON.object([
                        .init(name: "text", value: .string(Self.document(index)))
                    ]).encoded(), as: UTF8.self)
            }
            try folder.write(lines.joined(separator: "\n\n") + "\r\n", to: "text/lines.jsonl")
            try folder.write(Self.document(3), to: "text/copy.md")
            try folder.write([0, 1, 2], to: "text/binary")
            try folder.write("no", to: "text/.hidden")
        }

        static func document(_ index: Int) -> String {
            "Document \(index)\n"
                + String(repeating: "naïve 日本 \(index * 37) <|im_end|> ", count: 40)
        }

        func preparation(to output: String) -> Preparation {
            var preparation = Preparation(
                inputs: [input], tokenizer: tokenizer, output: folder.path(output))
            preparation.heldOutFraction = 0.2
            preparation.tokensPerShard = 5_000
            return preparation
        }
    }

    /// All files of a folder by name.
    private func contents(_ path: String) throws -> [String: [UInt8]] {
        var files: [String: [UInt8]] = [:]
        for name in try FileManager.default.contentsOfDirectory(atPath: path) {
            files[name] = try bytes(at: "\(path)/\(name)")
        }
        return files
    }

    private func documents(_ side: [CorpusManifest.Shard], in path: String) throws -> [[Int32]] {
        try side.flatMap { entry -> [[Int32]] in
            let shard = try TokenShard(path: "\(path)/\(entry.file)")
            var start = 0
            return shard.documentEnds.map { end in
                defer { start = end }
                return shard.tokens(start..<end)
            }
        }
    }

    @Test func everyDocumentIsOnOneSideAsTheTokenizerReadsIt() async throws {
        let sources = try Sources()
        let result = try await sources.preparation(to: "out").run()
        let manifest = result.manifest
        let tokenizer = try Tokenizer(path: sources.folder.path("out/tokenizer.json"))
        let reasons = result.skipped.map {
            "\($0.path.split(separator: "/").last ?? ""): \($0.reason)"
        }
        #expect(
            reasons.sorted() == [
                ".hidden: hidden", "3.txt: the same as copy.md", "binary: not text in UTF-8",
            ])
        let train = try documents(manifest.train, in: sources.folder.path("out"))
        let heldOut = try documents(manifest.heldOut, in: sources.folder.path("out"))
        let end = try #require(tokenizer.id(of: "<|im_end|>"))
        let expected = try (Array(0..<30) + Array(100..<180)).map {
            try tokenizer.encode(Sources.document($0)) + [end]
        }
        #expect(Set(train + heldOut) == Set(expected))
        #expect(train.count + heldOut.count == 110)
        #expect((10...35).contains(heldOut.count))
        #expect(
            manifest.trainDocuments == train.count && manifest.heldOutDocuments == heldOut.count)
        #expect(manifest.trainTokens == train.reduce(0) { $0 + $1.count })
        #expect(manifest.train.count > 3 && manifest.origin.endToken == Int(end))
    }

    @Test(arguments: [2, 7]) func workersMakeNoDifference(workers: Int) async throws {
        let sources = try Sources()
        var one = sources.preparation(to: "one")
        var many = sources.preparation(to: "many")
        many.workers = workers
        one.workers = 1
        _ = try await one.run()
        _ = try await many.run()
        #expect(try contents(one.output) == contents(many.output))
    }

    /// As a kill leaves it: some shards there, one half-written, one damaged, no manifest.
    @Test func beginsAgainWhereItWasStopped() async throws {
        let sources = try Sources()
        let preparation = sources.preparation(to: "out")
        let whole = try await preparation.run()
        let expected = try contents(preparation.output)
        let parts = whole.manifest.train.count
        let files = FileManager.default
        let plan = JSON.object(whole.manifest.origin.members).encoded(indented: true)
        try sources.folder.write(plan, to: "out/plan.json")
        for name in ["manifest.json", "train-00001.tokens", "tokenizer.json"] {
            try files.removeItem(atPath: "\(preparation.output)/\(name)")
        }
        try sources.folder.write([1, 2, 3], to: "out/.train-00001.tokens.partial-1-1")
        var damaged = try #require(expected["held-out-00002.tokens"])
        damaged[damaged.count - 1] ^= 1
        try sources.folder.write(damaged, to: "out/held-out-00002.tokens")

        let again = try await preparation.run()
        #expect(again.partsKept == parts - 2)
        #expect(try contents(preparation.output) == expected)
        // Complete, it is left alone.
        #expect(try await preparation.run().partsKept == parts)
        #expect(try contents(preparation.output) == expected)
    }

    @Test func refusesAFolderOfSomethingElse() async throws {
        let sources = try Sources()
        var preparation = sources.preparation(to: "out")
        _ = try await preparation.run()
        preparation.heldOutFraction = 0.3
        #expect(await failure(preparation)?.code == .mismatch)
        preparation.heldOutFraction = 0.2
        try sources.folder.write("more", to: "text/more.txt")
        #expect(await failure(preparation)?.code == .mismatch)
        try sources.folder.write("a letter", to: "letters/a.txt")
        preparation.output = sources.folder.path("letters")
        #expect(await failure(preparation)?.code == .mismatch)
        #expect(try sources.folder.names().contains("letters"))
    }

    @Test func neverReadsWhatItWrites() async throws {
        let sources = try Sources()
        let preparation = sources.preparation(to: "text/out")
        #expect(await failure(preparation)?.code == .unsupported)
        #expect(!FileManager.default.fileExists(atPath: preparation.output))
    }

    private func failure(_ preparation: Preparation) async -> StorageError? {
        do throws(StorageError) {
            _ = try await preparation.run()
            return nil
        } catch {
            return error
        }
    }

    @Test(arguments: [
        ("{\"text\": \"a\"}\n{\"text\": \"b\"\n", "line 2 of", "no JSON"),
        ("\n\n{\"body\": \"a\"}\n", "line 3 of", "\"text\""), ("[1]\n", "line 1 of", "\"text\""),
        ("{\"text\": 7}", "line 1 of", "\"text\""),
        ("{\"text\": \"\u{1}\"}", "line 1 of", "control"),
    ])
    func aBadLineIsNamed(lines: String, place: String, problem: String) async throws {
        let sources = try Sources()
        try sources.folder.write(lines, to: "bad/lines.jsonl")
        var preparation = sources.preparation(to: "out")
        preparation.inputs = [sources.folder.path("bad")]
        let error = try #require(await failure(preparation))
        #expect(error.code == .corrupt)
        #expect(error.description.contains(place) && error.description.contains("lines.jsonl"))
        #expect(error.description.contains(problem), "\(error)")
        #expect(!PreparedCorpus.isPrepared(preparation.output))
    }

    @Test func saysWhatIsMissing() async throws {
        let sources = try Sources()
        var preparation = sources.preparation(to: "out")
        preparation.endToken = "<none>"
        #expect(await failure(preparation)?.code == .missing)
        preparation.endToken = nil
        preparation.inputs = [sources.folder.path("nowhere")]
        #expect(await failure(preparation)?.code == .missing)
        preparation.inputs = [sources.folder.path("text/binary")]
        #expect(await failure(preparation)?.message.contains("no text") == true)
        preparation.tokenizer = sources.folder.path("text")
        #expect(await failure(preparation)?.code == .missing)
    }

    /// Of few documents the end of each is held out, cut between characters.
    @Test func fewDocumentsAreCut() async throws {
        let sources = try Sources()
        var preparation = sources.preparation(to: "out")
        preparation.inputs = [sources.folder.path("text/folder/7.txt")]
        let manifest = try await preparation.run().manifest
        #expect(!manifest.origin.holdsOutWholeDocuments)
        #expect(manifest.trainDocuments == 1 && manifest.heldOutDocuments == 1)
        let tokenizer = try Tokenizer(path: sources.folder.path("out/tokenizer.json"))
        let train = try documents(manifest.train, in: preparation.output)
        let heldOut = try documents(manifest.heldOut, in: preparation.output)
        #expect(tokenizer.decode(train[0] + heldOut[0]) == Sources.document(7))
        preparation.output = sources.folder.path("none")
        preparation.heldOutFraction = 0
        #expect(try await preparation.run().manifest.heldOutTokens == 0)
    }

    // MARK: Reading

    @Test func servesTheStreamOfItsShards() async throws {
        let sources = try Sources()
        let preparation = sources.preparation(to: "out")
        let manifest = try await preparation.run().manifest
        let corpus = try PreparedCorpus.open(preparation.output)
        let source = try TokenSource(corpus: corpus, sequenceLength: 16, seed: 3)
        let stream = try documents(manifest.train, in: preparation.output).flatMap { $0 }
        #expect(source.windowCount == (stream.count - 1) / 16)
        let count = UInt64(source.windowCount)
        for number in 0..<count {
            let start = source.window(of: number) * 16
            #expect(source.sequences(number..<number + 1) == Array(stream[start...start + 16]))
        }
        let heldOut = try documents(manifest.heldOut, in: preparation.output).flatMap { $0 }
        #expect(source.heldOutSequences(1..<2) == Array(heldOut[16...32]))
        // Other text, another fingerprint.
        var other = sources.preparation(to: "other")
        other.heldOutFraction = 0.3
        _ = try await other.run()
        let another = try TokenSource(
            corpus: try PreparedCorpus.open(other.output), sequenceLength: 16, seed: 3)
        #expect(another.fingerprint != source.fingerprint)
    }

    @Test func damageIsFound() async throws {
        let sources = try Sources()
        let preparation = sources.preparation(to: "out")
        _ = try await preparation.run()
        let name = "train-00001.tokens"
        let whole = try bytes(at: "\(preparation.output)/\(name)")
        let places = Array(0..<40) + [64, 65, whole.count / 2, whole.count - 1]
        for place in places {
            var damaged = whole
            damaged[place] ^= 0x40
            try sources.folder.write(damaged, to: "out/\(name)")
            #expect(
                try code { _ = try PreparedCorpus.open(preparation.output) } == .corrupt, "\(place)"
            )
        }
        for count in [0, 10, 64, whole.count - 8, whole.count - 1] {
            try sources.folder.write(Array(whole[..<count]), to: "out/\(name)")
            #expect(try code { _ = try PreparedCorpus.open(preparation.output) } == .corrupt)
        }
        try sources.folder.write(whole, to: "out/\(name)")
        _ = try PreparedCorpus.open(preparation.output)

        // Another shard that is sound in itself.
        let other = try bytes(at: "\(preparation.output)/train-00002.tokens")
        try sources.folder.write(other, to: "out/\(name)")
        #expect(try code { _ = try PreparedCorpus.open(preparation.output) } == .corrupt)
        try sources.folder.write(whole, to: "out/\(name)")
        try sources.folder.write(
            try bytes(at: tokenizerFixture("gpt2.json")), to: "out/tokenizer.json")
        #expect(try code { _ = try PreparedCorpus.open(preparation.output) } == .corrupt)
    }

    @Test(arguments: [
        ("\"version\": 1", "\"version\": 2"), ("martlet-corpus", "other"),
        ("train-00000.tokens", "../train-00000.tokens"),
        ("\"end_token\": 902", "\"end_token\": 903"),
        ("\"parts\"", "\"pieces\""), ("\"train\"", "\"trains\""),
    ])
    func aBadManifestIsRefused(found: String, replaced: String) async throws {
        let sources = try Sources()
        let preparation = sources.preparation(to: "out")
        _ = try await preparation.run()
        let text = String(
            decoding: try bytes(at: preparation.output + "/manifest.json"), as: UTF8.self)
        let range = try #require(text.range(of: found))
        try sources.folder.write(
            text.replacingCharacters(in: range, with: replaced), to: "out/manifest.json")
        let code = try code { _ = try PreparedCorpus.open(preparation.output) }
        #expect(code == .corrupt || code == .unsupported)
    }

    @Test func wideTokensTakeFourBytes() throws {
        let folder = try TemporaryFolder()
        var writer = TokenShardWriter(vocabularySize: 70_000)
        writer.append([1, 65_535, 65_536, 69_999], end: 0)
        writer.append([7], end: 0)
        _ = try writer.write(to: folder.path("wide.tokens"))
        let shard = try TokenShard(path: folder.path("wide.tokens"))
        #expect(shard.tokens(0..<shard.count) == [1, 65_535, 65_536, 69_999, 0, 7, 0])
        #expect(shard.documentEnds == [5, 7])
        try shard.verify(vocabularySize: 70_000)
        #expect(try code { try shard.verify(vocabularySize: 69_999) } == .corrupt)
    }
}
