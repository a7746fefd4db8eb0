internal import Synchronization

/// Turns text into token shards: `martlet data prepare`.
///
/// Parts of the text are encoded on several workers, each part into shards of its own, which appear
/// whole; the manifest comes last. Stopped at any time and begun again with the same settings, it
/// keeps the shards that are sound and makes the others, and the folder is the same to the byte.
package struct Preparation: Sendable {
    /// Text files, JSONL files, and folders of both.
    package var inputs: [String]
    /// A `tokenizer.json`, or a folder that has one.
    package var tokenizer: String
    /// The folder to fill.
    package var output: String
    /// Share of the documents that is held out; 0 for none.
    package var heldOutFraction = Corpus.heldOutFractionDefault
    /// About how many tokens go into a shard; by default it depends on how much text there is.
    package var tokensPerShard: Int?
    package var workers = 1
    /// The member of a JSONL line that holds the text.
    package var textKey = "text"
    /// The token that ends documents, where the tokenizer's files do not say.
    package var endToken: String?

    /// Bytes of text that count as one token where a shard's size is chosen.
    package static let bytesPerToken = 4
    package static let workersMax = 256
    package static let tokensPerShardRange = 1_000...TokenShardHeader.tokensMax / 8

    /// How far it is.
    package struct Progress: Sendable, Equatable {
        package enum Stage: Sendable { case reading, encoding }
        package var stage = Stage.reading
        /// Bytes of text that are done in this stage, and all of them.
        package var bytes = 0
        package var bytesTotal = 0
        package var tokens = 0
    }

    /// What came of it.
    package struct Result: Sendable {
        package let manifest: CorpusManifest
        package let skipped: [(path: String, reason: CorpusSkip)]
        /// Parts that were there already.
        package let partsKept: Int
    }

    package init(inputs: [String], tokenizer: String, output: String) {
        self.inputs = inputs
        self.tokenizer = tokenizer
        self.output = output
    }

    /// Prepares the corpus.
    ///
    /// `progress` is called from several threads.
    ///
    /// Throws `missing`, `unreadable`, `corrupt`, `unsupported` for what is read; `mismatch` where
    /// the folder holds something else; `unwritable`.
    package func run(
        progress: @escaping @Sendable (Progress) -> Void = { _ in }
    ) async throws(StorageError) -> Result {
        precondition((1...Self.workersMax).contains(workers), "1 to \(Self.workersMax) workers")
        precondition((0..<1).contains(heldOutFraction), "a fraction from 0 to below 1")
        for input in inputs where output == input || output.hasPrefix(input.appending(name: "")) {
            throw StorageError(
                .unsupported, "\(output) lies in \(input), which is read; choose another folder")
        }
        let (file, tokenizer) = try openTokenizer()
        let endToken = try EndToken.find(named: endToken, beside: file, tokenizer)
        let plan = try PreparationPlanner.plan(
            inputs, heldOutFraction: heldOutFraction, tokensPerShard: tokensPerShard
        ) { progress(Progress(bytes: $0, bytesTotal: $1)) }
        let origin = CorpusManifest.Origin(
            tokenizerChecksum: Checksum.of(tokenizer.fileBytes),
            tokenizerBytes: tokenizer.fileBytes.count, vocabularySize: tokenizer.vocabularySize,
            endToken: Int(endToken), heldOutFraction: heldOutFraction,
            holdsOutWholeDocuments: plan.holdsOutWholeDocuments, sources: plan.sources.count,
            sourceBytes: plan.byteCount, sourcesHash: plan.sourcesHash, textKey: textKey,
            parts: plan.parts.count)
        let folder = PreparationFolder(path: output)
        if let finished = try folder.begin(origin) {
            return Result(manifest: finished, skipped: plan.skipped, partsKept: plan.parts.count)
        }
        try folder.copyTokenizer(tokenizer, from: file)
        let rules = PartEncoder.Rules(
            tokenizer: tokenizer, endToken: endToken, heldOutFraction: heldOutFraction,
            textKey: textKey, plan: plan)
        let board = PartBoard(
            plan: plan, folder: folder, vocabularySize: tokenizer.vocabularySize,
            progress: progress)
        let shards = try await encode(rules, board)
        let manifest = try folder.finish(origin, shards)
        return Result(manifest: manifest, skipped: plan.skipped, partsKept: board.partsKept)
    }

    private func openTokenizer() throws(StorageError) -> (path: String, tokenizer: Tokenizer) {
        let path =
            Folder.isFolder(tokenizer)
            ? tokenizer.appending(name: Tokenizer.fileName) : tokenizer
        return (path, try Tokenizer(path: path))
    }

    /// Encodes all parts; the shards of each, in order.
    private func encode(
        _ rules: PartEncoder.Rules, _ board: PartBoard
    ) async throws(StorageError) -> [PartBoard.Shards] {
        let failures = await withTaskGroup(of: StorageError?.self) { group in
            for _ in 0..<min(workers, max(rules.plan.parts.count, 1)) {
                group.addTask { @concurrent in board.work(by: rules) }
            }
            var failures: [StorageError] = []
            for await failure in group { if let failure { failures.append(failure) } }
            return failures
        }
        if let failure = failures.first { throw failure }
        return board.shards
    }
}

/// Which token ends documents.
enum EndToken {
    /// Names by which tokenizers in use call it.
    static let names = [
        "<|endoftext|>", "<|end_of_text|>", "<｜end▁of▁sentence｜>", "</s>", "<eos>",
    ]

    /// The token called `name`; else what the file beside the tokenizer says; else one of the
    /// usual names.
    ///
    /// Throws `missing` where there is none.
    static func find(
        named name: String?, beside path: String, _ tokenizer: Tokenizer
    ) throws(StorageError) -> Int32 {
        if let name {
            if let id = tokenizer.id(of: name) { return id }
            throw StorageError(.missing, "\(path) has no token \"\(name)\"")
        }
        let configuration = path.parentPath.appending(name: Tokenizer.configurationFileName)
        var candidates = names
        if Folder.kind(of: configuration) != nil {
            let json = try JSON(file: configuration)["eos_token"]
            if let name = json?.string ?? json?["content"]?.string {
                candidates.insert(name, at: 0)
            }
        }
        for name in candidates { if let id = tokenizer.id(of: name) { return id } }
        throw StorageError(
            .missing, "\(path) does not say which token ends a document; name it")
    }
}

/// What the workers of a preparation share: which part is next, what came of each.
private final class PartBoard: Sendable {
    typealias Shards = (train: CorpusManifest.Shard, heldOut: CorpusManifest.Shard)

    private struct State {
        var next = 0
        var shards: [Int: Shards] = [:]
        var kept = 0
        var hasFailed = false
        var progress: Preparation.Progress
    }

    private let plan: PreparationPlan
    private let folder: PreparationFolder
    private let vocabularySize: Int
    private let report: @Sendable (Preparation.Progress) -> Void
    private let state: Mutex<State>

    init(
        plan: PreparationPlan, folder: PreparationFolder, vocabularySize: Int,
        progress: @escaping @Sendable (Preparation.Progress) -> Void
    ) {
        self.plan = plan
        self.folder = folder
        self.vocabularySize = vocabularySize
        report = progress
        state = Mutex(
            State(progress: .init(stage: .encoding, bytes: 0, bytesTotal: plan.byteCount)))
    }

    /// The shards of all parts, in order.
    var shards: [Shards] {
        state.withLock { state in state.shards.sorted { $0.key < $1.key }.map(\.value) }
    }

    var partsKept: Int { state.withLock { $0.kept } }

    /// Makes part after part until none is left; what went wrong, if something did.
    func work(by rules: PartEncoder.Rules) -> StorageError? {
        var encoder = PartEncoder(rules)
        while let part = take() {
            do throws(StorageError) {
                if let sound = try folder.soundShards(of: part, vocabularySize: vocabularySize) {
                    keep(sound, part)
                } else {
                    let made = try encoder.encode(part: part) { advance(bytes: $0, tokens: $1) }
                    let shards = try folder.write(made, part: part)
                    state.withLock { $0.shards[part] = shards }
                }
            } catch {
                state.withLock { $0.hasFailed = true }
                return error
            }
        }
        return nil
    }

    private func take() -> Int? {
        state.withLock { state in
            guard !state.hasFailed, state.next < plan.parts.count else { return nil }
            defer { state.next += 1 }
            return state.next
        }
    }

    private func keep(_ shards: Shards, _ part: Int) {
        state.withLock { state in
            state.shards[part] = shards
            state.kept += 1
        }
        let bytes = plan.parts[part].reduce(0) { $0 + $1.range.count }
        advance(bytes: bytes, tokens: shards.train.tokens + shards.heldOut.tokens)
    }

    private func advance(bytes: Int, tokens: Int) {
        let progress = state.withLock { state in
            state.progress.bytes += bytes
            state.progress.tokens += tokens
            return state.progress
        }
        report(progress)
    }
}
