/// The text of a run as two streams of the tokens that a model's own tokenizer makes of it, held in
/// memory as a ``Corpus`` is.
package struct EncodedCorpus: Sendable {
    package let tokenizer: Tokenizer
    /// What the file beside the tokenizer says, if there is one.
    let tokenizerConfiguration: TokenizerConfiguration?
    /// Ends each document.
    package let endToken: Int32
    /// Documents one behind the other, each ended by ``endToken``.
    package let train: [Int32]
    /// The same for what is held out.
    package let heldOut: [Int32]
    /// The same for the same streams of tokens, whatever machine they were read on.
    package let fingerprint: UInt64
    /// What was taken and what was left out.
    package let report: CorpusReport

    /// Reads all text at `paths`, files or folders, as the model in `checkpoint` does with its
    /// `tokenizer`; held out is what ``Corpus`` would hold out.
    ///
    /// Throws as ``Corpus/load(paths:heldOutFraction:limits:)`` does; `missing` where nothing says
    /// which token ends a document; `unsupported` for text that the tokenizer can't split.
    static func load(
        paths: [String], heldOutFraction: Double, as checkpoint: Checkpoint,
        _ tokenizer: Tokenizer, limits: CorpusLimits = CorpusLimits()
    ) throws(StorageError) -> EncodedCorpus {
        let endToken = try checkpoint.endToken(of: tokenizer)
        let configuration = try TokenizerConfiguration(
            beside: checkpoint.path.appending(name: CheckpointFiles.tokenizer), tokenizer)
        let walk = try CorpusWalk.take(paths, limits: limits)
        let split = CorpusSplit(documents: walk.documents, heldOutFraction: heldOutFraction)
        var encoder = TokenEncoder(tokenizer)
        var train: [Int32] = []
        var heldOut: [Int32] = []
        for (document, cut) in zip(walk.documents, split.cuts) {
            try append(document, ..<cut, ended: endToken, to: &train, &encoder)
            try append(document, cut..., ended: endToken, to: &heldOut, &encoder)
        }
        return EncodedCorpus(
            tokenizer: tokenizer, tokenizerConfiguration: configuration, endToken: endToken,
            train: train, heldOut: heldOut, fingerprint: Corpus.fingerprint(train, heldOut),
            report: CorpusReport(
                documents: walk.documents.count,
                heldOutDocuments: split.isWhole ? split.cuts.count { $0 == 0 } : 0,
                bytes: walk.documents.reduce(0) { $0 + $1.bytes.count },
                trainTokens: train.count, heldOutTokens: heldOut.count, skipped: walk.skipped))
    }

    private static func append(
        _ document: CorpusDocument, _ range: some RangeExpression<Int>, ended end: Int32,
        to tokens: inout [Int32], _ encoder: inout TokenEncoder
    ) throws(StorageError) {
        let text = Array(document.bytes[range])
        guard !text.isEmpty else { return }
        do throws(StorageError) {
            tokens += try encoder.encode(text)
        } catch {
            throw StorageError(
                error.code, "\(document.name): \(error.message)", cause: error.cause)
        }
        tokens.append(end)
    }
}

/// What the `tokenizer_config.json` beside a tokenizer says.
struct TokenizerConfiguration: Sendable {
    /// The contents of the file.
    let fileBytes: [UInt8]
    /// The token that fills up what is too short, if the file names one.
    let paddingToken: Int32?

    /// Reads the file beside the one at `path`, which holds `tokenizer`; nil where there is none.
    ///
    /// Throws `unreadable`, `unsupported` for a file that is too large, or `corrupt`.
    init?(beside path: String, _ tokenizer: Tokenizer) throws(StorageError) {
        let file = path.parentPath.appending(name: Tokenizer.configurationFileName)
        guard Folder.kind(of: file) != nil else { return nil }
        fileBytes = try AtomicFile.read(file)
        let name = try JSON(file: file)["pad_token"]
        paddingToken = (name?.string ?? name?["content"]?.string).flatMap(tokenizer.id(of:))
    }
}

extension Checkpoint {
    /// The token that ends a document of the text that the model learns from.
    ///
    /// It is the one that ``Preparation`` would find beside `tokenizer`, the checkpoint's; else the
    /// first that ends the model's text. Throws `missing` where there is none, `unreadable`, or
    /// `corrupt`.
    fileprivate func endToken(of tokenizer: Tokenizer) throws(StorageError) -> Int32 {
        let file = path.appending(name: CheckpointFiles.tokenizer)
        do throws(StorageError) {
            return try EndToken.find(named: nil, beside: file, tokenizer)
        } catch let error where error.code == .missing {
            let ids = try endIDs()
            if let id = ids.first(where: { tokenizer.token($0) != nil }) { return id }
            throw StorageError(
                .missing,
                "\(file) does not say which token ends a document; say eos_token in"
                    + " \(Tokenizer.configurationFileName) beside it")
        }
    }
}
