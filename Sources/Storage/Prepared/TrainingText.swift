/// The text of a run: read from files as bytes, or as a model's tokenizer does, or prepared with a
/// tokenizer of its own.
package enum TrainingText: Sendable {
    case bytes(Corpus)
    case encoded(EncodedCorpus)
    case prepared(PreparedCorpus)

    /// Reads what is at `paths`: one prepared folder, or files and folders of text, of which
    /// `heldOutFraction` is held out.
    ///
    /// Throws as ``PreparedCorpus/open(_:)`` and ``Corpus/load(paths:heldOutFraction:limits:)`` do;
    /// `unsupported` for a prepared folder beside others.
    package static func load(
        paths: [String], heldOutFraction: Double
    ) throws(StorageError) -> TrainingText {
        guard let folder = paths.first(where: PreparedCorpus.isPrepared) else {
            return .bytes(try Corpus.load(paths: paths, heldOutFraction: heldOutFraction))
        }
        guard paths.count == 1 else {
            throw StorageError(
                .unsupported,
                "\(folder) is a prepared corpus, which is given alone; prepare all"
                    + " text together")
        }
        return .prepared(try PreparedCorpus.open(folder))
    }

    /// Cuts it into sequences.
    ///
    /// Throws `mismatch` where it is too short.
    package func source(
        sequenceLength: Int, seed: UInt64
    ) throws(StorageError) -> TokenSource {
        switch self {
        case .bytes(let corpus):
            try TokenSource(corpus: corpus, sequenceLength: sequenceLength, seed: seed)
        case .encoded(let corpus):
            try TokenSource(corpus: corpus, sequenceLength: sequenceLength, seed: seed)
        case .prepared(let corpus):
            try TokenSource(corpus: corpus, sequenceLength: sequenceLength, seed: seed)
        }
    }

    /// One more than the largest id: the least vocabulary that a model needs.
    package var vocabularySize: Int {
        switch self {
        case .bytes: ByteTokenizer.vocabularySize
        case .encoded(let corpus): corpus.tokenizer.vocabularySize
        case .prepared(let corpus): corpus.manifest.origin.vocabularySize
        }
    }

    /// The token that ends each document.
    package var endToken: Int {
        switch self {
        case .bytes: ByteTokenizer.endOfText
        case .encoded(let corpus): Int(corpus.endToken)
        case .prepared(let corpus): corpus.manifest.origin.endToken
        }
    }

    /// The token that fills up what is too short, if there is one.
    package var paddingToken: Int? {
        switch self {
        case .bytes: ByteTokenizer.padding
        case .encoded(let corpus): corpus.tokenizerConfiguration?.paddingToken.map(Int.init)
        case .prepared(let corpus): corpus.tokenizerConfiguration?.paddingToken.map(Int.init)
        }
    }

    /// The contents of the tokenizer's file.
    package var tokenizerBytes: [UInt8] {
        switch self {
        case .bytes: ByteTokenizer.fileBytes
        case .encoded(let corpus): corpus.tokenizer.fileBytes
        case .prepared(let corpus): corpus.tokenizer.fileBytes
        }
    }

    /// The contents of the file beside it, for a model of at most `contextLength` tokens.
    func tokenizerConfigurationBytes(contextLength: Int) -> [UInt8] {
        switch self {
        case .bytes: ByteTokenizer.configurationFileBytes(contextLength: contextLength)
        case .encoded(let corpus):
            corpus.tokenizerConfiguration?.fileBytes
                ?? configurationBytes(of: corpus.tokenizer, contextLength: contextLength)
        case .prepared(let corpus):
            corpus.tokenizerConfiguration?.fileBytes
                ?? configurationBytes(of: corpus.tokenizer, contextLength: contextLength)
        }
    }

    private func configurationBytes(of tokenizer: Tokenizer, contextLength: Int) -> [UInt8] {
        TokenizerFile.configuration(
            contextLength: contextLength, end: tokenizer.token(Int32(endToken)), padding: nil
        ).encoded(indented: true)
    }

    /// What was taken, in one line for a person.
    package var summary: String {
        switch self {
        case .bytes(let corpus): return Self.summary(corpus.report)
        case .encoded(let corpus):
            return Self.summary(corpus.report) + ", of a vocabulary of \(vocabularySize)"
        case .prepared(let corpus):
            let manifest = corpus.manifest
            return "\(manifest.trainDocuments + manifest.heldOutDocuments) documents,"
                + " \(manifest.trainTokens) tokens to train on, \(manifest.heldOutTokens) held out,"
                + " of a vocabulary of \(vocabularySize)"
        }
    }

    private static func summary(_ report: CorpusReport) -> String {
        "\(report.documents) documents, \(report.trainTokens) tokens to train on,"
            + " \(report.heldOutTokens) held out; \(report.skipped.count) files skipped"
    }
}

extension CheckpointDocuments {
    /// The documents of a model described by `configuration`, trained on `text`, of at most
    /// `contextLength` tokens.
    package init(configuration: [UInt8], contextLength: Int, text: TrainingText) {
        self.init(configuration: configuration, contextLength: contextLength)
        if case .bytes = text { return }
        var members: [JSON.Member] = [
            .init(name: "bos_token_id", value: .integer(text.endToken)),
            .init(name: "eos_token_id", value: .integer(text.endToken)),
        ]
        if let padding = text.paddingToken {
            members.append(.init(name: "pad_token_id", value: .integer(padding)))
        }
        members.append(.init(name: "do_sample", value: true))
        generation = JSON.object(members).encoded(indented: true)
        tokenizer = text.tokenizerBytes
        tokenizerConfiguration = text.tokenizerConfigurationBytes(contextLength: contextLength)
    }
}
