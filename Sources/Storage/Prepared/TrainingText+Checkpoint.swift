extension TrainingText {
    /// Reads what is at `paths`, as ``load(paths:heldOutFraction:)`` does, for the model in
    /// `checkpoint` with its vocabulary of `vocabularySize`: in the tokens of the checkpoint's own
    /// tokenizer, or in bytes where it has none.
    ///
    /// Throws as ``load(paths:heldOutFraction:)`` does, and `mismatch` where the text was prepared
    /// with another tokenizer, or has tokens that the model does not know.
    package static func load(
        paths: [String], heldOutFraction: Double, for checkpoint: Checkpoint, vocabularySize: Int
    ) throws(StorageError) -> TrainingText {
        let tokenizer = try checkpoint.ownTokenizer()
        try check(tokenizer, of: checkpoint, vocabularySize: vocabularySize)
        let bytes = tokenizer?.fileBytes ?? ByteTokenizer.fileBytes
        if let tokenizer, bytes != ByteTokenizer.fileBytes,
            !paths.contains(where: PreparedCorpus.isPrepared)
        {
            return .encoded(
                try EncodedCorpus.load(
                    paths: paths, heldOutFraction: heldOutFraction, as: checkpoint, tokenizer))
        }
        let text = try load(paths: paths, heldOutFraction: heldOutFraction)
        guard text.tokenizerBytes == bytes else {
            let own = tokenizer == nil ? "has none and so reads bytes" : "has another"
            throw StorageError(
                .mismatch,
                "\(paths.joined(separator: ", ")) was prepared with a tokenizer of its own, and"
                    + " \(checkpoint.path) \(own); prepare the text with the model's tokenizer")
        }
        return text
    }

    /// Refuses a tokenizer that has tokens which the model does not know.
    private static func check(
        _ tokenizer: Tokenizer?, of checkpoint: Checkpoint, vocabularySize: Int
    ) throws(StorageError) {
        guard let tokenizer else {
            guard ByteTokenizer.vocabularySize > vocabularySize else { return }
            throw StorageError(
                .mismatch,
                "\(checkpoint.path) has no \(CheckpointFiles.tokenizer), and a vocabulary of"
                    + " \(vocabularySize), too small for bytes, which take"
                    + " \(ByteTokenizer.vocabularySize); put the model's tokenizer there")
        }
        guard tokenizer.vocabularySize > vocabularySize else { return }
        throw StorageError(
            .mismatch,
            "the tokenizer of \(checkpoint.path) has \(tokenizer.vocabularySize) tokens, and its"
                + " model only \(vocabularySize); put the model's own tokenizer there")
    }
}

extension Checkpoint {
    /// The checkpoint's tokenizer, if it has one.
    fileprivate func ownTokenizer() throws(StorageError) -> Tokenizer? {
        let file = path.appending(name: CheckpointFiles.tokenizer)
        return Folder.kind(of: file) == nil ? nil : try tokenizer()
    }
}
