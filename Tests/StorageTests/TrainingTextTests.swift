import Foundation
import Storage
import Tensors
import Testing

/// How text reaches a run, and how a checkpoint gives it back.
@Suite struct TrainingTextTests {
    private func prepared(in folder: TemporaryFolder) async throws -> String {
        try folder.write(
            try bytes(at: tokenizerFixture("qwen2.json")), to: "tokenizer/tokenizer.json")
        try folder.write(
            #"{"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}"#,
            to: "tokenizer/tokenizer_config.json")
        try folder.write(String(repeating: "The quick brown fox. ", count: 200), to: "text/a.txt")
        _ = try await Preparation(
            inputs: [folder.path("text")], tokenizer: folder.path("tokenizer"),
            output: folder.path("out")
        ).run()
        return folder.path("out")
    }

    @Test func aFolderWithAManifestIsPrepared() async throws {
        let folder = try TemporaryFolder()
        let path = try await prepared(in: folder)
        let text = try TrainingText.load(paths: [path], heldOutFraction: 0.05)
        #expect(text.vocabularySize == 903 && text.endToken == 902 && text.paddingToken == 900)
        #expect(try text.tokenizerBytes == bytes(at: tokenizerFixture("qwen2.json")))
        #expect(text.summary.contains("vocabulary of 903"))
        _ = try text.source(sequenceLength: 8, seed: 1)
        let error = #expect(throws: StorageError.self) {
            try TrainingText.load(paths: [folder.path("text"), path], heldOutFraction: 0.05)
        }
        #expect(error?.code == .unsupported)
    }

    @Test func otherTextIsBytes() async throws {
        let folder = try TemporaryFolder()
        _ = try await prepared(in: folder)
        let text = try TrainingText.load(paths: [folder.path("text")], heldOutFraction: 0.05)
        #expect(text.vocabularySize == ByteTokenizer.vocabularySize)
        #expect(text.endToken == ByteTokenizer.endOfText)
        #expect(text.tokenizerBytes == ByteTokenizer.fileBytes)
        let same = CheckpointDocuments(configuration: [], contextLength: 8, text: text)
        #expect(same == CheckpointDocuments(configuration: [], contextLength: 8))
    }

    /// A checkpoint of a run on prepared text speaks with that text's tokenizer.
    @Test func checkpointsKeepTheTokenizer() async throws {
        let folder = try TemporaryFolder()
        let text = try TrainingText.load(
            paths: [try await prepared(in: folder)], heldOutFraction: 0.05)
        let documents = CheckpointDocuments(
            configuration: smallDocuments.configuration, contextLength: 8, text: text)
        let writer = try CheckpointWriter(
            path: folder.path("checkpoint"), layout: smallLayout, documents: documents, resume: [])
        for (index, module) in smallLayout.modules.enumerated() {
            try writer.append(
                module: index, parameters: smallParameters[module.range], resume: [])
        }
        _ = try writer.finish(run: smallRun)
        let checkpoint = try Checkpoint.open(folder.path("checkpoint"))
        let tokenizer = try checkpoint.tokenizer()
        #expect(tokenizer.fileBytes == text.tokenizerBytes)
        #expect(try checkpoint.endIDs() == [902])
        // As in training, a text of ours begins behind the end of another.
        #expect(try checkpoint.promptIDs("fox", tokenizer) == [902] + tokenizer.encode("fox"))
        #expect(try checkpoint.promptIDs("", tokenizer) == [902])
    }

    /// Of other people's checkpoints, the template and the lists of ids hold.
    @Test(arguments: [
        ("llama3", #"{"eos_token_id": [7, 9]}"#, [905, 905] as [Int32], [7, 9] as [Int32]),
        ("qwen2", #"{"eos_token_id": 5}"#, [], [5]), ("qwen2", "{}", [], [3]),
    ])
    func otherCheckpointsBeginAsTheirTemplateSays(
        kind: String, generation: String, beginnings: [Int32], ends: [Int32]
    ) throws {
        let folder = try TemporaryFolder()
        try writeSmallCheckpoint(to: folder.path("whole"))
        let path = folder.path("other")
        try folder.write(
            try bytes(at: tokenizerFixture("\(kind).json")), to: "other/tokenizer.json")
        try folder.write(generation, to: "other/generation_config.json")
        try folder.write(#"{"eos_token_id": 3}"#, to: "other/config.json")
        try folder.write(
            try bytes(at: folder.path("whole/model.safetensors")), to: "other/model.safetensors")
        let checkpoint = try Checkpoint.open(path)
        let tokenizer = try checkpoint.tokenizer()
        #expect(try checkpoint.endIDs() == ends)
        let plain = try tokenizer.encode("fox")
        #expect(try checkpoint.promptIDs("fox", tokenizer) == beginnings.prefix(1) + plain)
        #expect(try checkpoint.promptIDs("", tokenizer) == (beginnings.first ?? ends[0]).asList)
        try folder.write(#"{"eos_token_id": "x"}"#, to: "other/generation_config.json")
        #expect(try code { _ = try checkpoint.endIDs() } == .corrupt)
    }
}

extension Int32 {
    fileprivate var asList: [Int32] { [self] }
}
