/// How text begins and ends for the model of a checkpoint.
extension Checkpoint {
    /// Most ids of one kind in a configuration.
    private static let idsMax = 1_024

    /// The ids of `prompt`, as the model is to continue it.
    ///
    /// What the tokenizer's template wants stands around it. Where it wants nothing, a model of
    /// ours sees the end of the document before, as in training; so does any where there would be
    /// nothing to continue. Throws `unsupported` for text that the tokenizer can't split, and
    /// `mismatch` where nothing says how a document ends.
    package func promptIDs(
        _ prompt: String, _ tokenizer: Tokenizer
    ) throws(StorageError) -> [Int32] {
        let ids = try tokenizer.encode(prompt, addingTemplate: true)
        let plain = try tokenizer.encode(prompt)
        guard ids.count == plain.count, isResumable || ids.isEmpty else { return ids }
        guard let end = try endIDs().first else {
            guard ids.isEmpty else { return ids }
            throw StorageError(
                .mismatch, "\(path) does not say with which token a text begins; give a prompt")
        }
        return [end] + ids
    }

    /// The ids after which no more text comes: those of `generation_config.json`, or else of
    /// `config.json`.
    ///
    /// Throws `unreadable`, or `corrupt`.
    package func endIDs() throws(StorageError) -> [Int32] {
        let file = path.appending(name: CheckpointFiles.generation)
        if Folder.kind(of: file) != nil {
            let ids = try Self.ids(try JSON(file: file)["eos_token_id"], file)
            if !ids.isEmpty { return ids }
        }
        let configurationFile = path.appending(name: CheckpointFiles.configuration)
        do throws(JSONSyntaxError) {
            let json = try JSON(parsing: configuration)
            return json["eos_token_id"].map { Self.known($0) } ?? []
        } catch {
            throw StorageError(.corrupt, "\(configurationFile) is no JSON document", cause: error)
        }
    }

    private static func ids(_ json: JSON?, _ path: String) throws(StorageError) -> [Int32] {
        guard let json, json != .null else { return [] }
        let ids = known(json)
        guard !ids.isEmpty, json.array?.count ?? 1 == ids.count else {
            throw StorageError(
                .corrupt, "eos_token_id in \(path) is neither an id nor a list of ids")
        }
        return ids
    }

    /// One id, or the ids of a list.
    private static func known(_ json: JSON) -> [Int32] {
        let numbers =
            json.integer.map { [$0] } ?? json.array?.prefix(idsMax).map { $0.integer ?? -1 }
        return (numbers ?? []).filter { (0..<Tokenizer.vocabularyMax).contains($0) }.map(Int32.init)
    }
}
