/// The folder that a preparation fills.
///
///     tokenizer.json  tokenizer_config.json      copies
///     plan.json                                  while it is under way: what it is made from
///     train-00000.tokens  held-out-00000.tokens  the shards of each part
///     manifest.json                              last: it is complete
struct PreparationFolder: Sendable {
    let path: String

    private static let planName = "plan.json"

    private func file(_ name: String) -> String { path.appending(name: name) }

    private static func name(_ side: String, _ part: Int) -> String {
        let digits = String(part)
        return "\(side)-\(String(repeating: "0", count: max(0, 5 - digits.count)))\(digits).tokens"
    }

    private static func trainName(_ part: Int) -> String { name("train", part) }
    private static func heldOutName(_ part: Int) -> String { name("held-out", part) }

    /// Makes the folder ready for a preparation of `origin`, or finds that it is complete.
    ///
    /// Throws `mismatch` where it holds anything else; `unwritable`.
    func begin(_ origin: CorpusManifest.Origin) throws(StorageError) -> CorpusManifest? {
        guard Folder.kind(of: path) != nil else {
            try Folder.create(path)
            try writePlan(origin)
            return nil
        }
        let names = try Folder.names(in: path)
        for name in names where name.contains(AtomicFile.partialMark) {
            try Folder.remove(file(name))
        }
        let other = StorageError(
            .mismatch,
            "\(path) holds a corpus of other text, another tokenizer or other settings; choose"
                + " another folder, or remove it")
        if names.contains(CorpusManifest.fileName) {
            let manifest = try CorpusManifest(folder: path)
            guard manifest.origin == origin else { throw other }
            if names.contains(Self.planName) { try Folder.remove(file(Self.planName)) }
            return manifest
        }
        if names.contains(Self.planName) {
            let plan = file(Self.planName)
            guard try CorpusManifest.Origin(try JSON(file: plan), path: plan) == origin else {
                throw other
            }
        } else {
            guard names.allSatisfy({ $0.contains(AtomicFile.partialMark) }) else {
                throw StorageError(.mismatch, "\(path) is no empty folder, and no corpus of ours")
            }
            try writePlan(origin)
        }
        return nil
    }

    private func writePlan(_ origin: CorpusManifest.Origin) throws(StorageError) {
        let plan = JSON.object(origin.members).encoded(indented: true)
        try AtomicFile.write(plan, to: file(Self.planName))
    }

    func copyTokenizer(_ tokenizer: Tokenizer, from source: String) throws(StorageError) {
        try AtomicFile.write(tokenizer.fileBytes, to: file(Tokenizer.fileName))
        let configuration = source.parentPath.appending(name: Tokenizer.configurationFileName)
        guard Folder.kind(of: configuration) != nil else { return }
        try AtomicFile.write(
            try AtomicFile.read(configuration), to: file(Tokenizer.configurationFileName))
    }

    /// The shards of `part`, if they are there and sound.
    ///
    /// Throws `unreadable`; what is damaged is made anew.
    func soundShards(
        of part: Int, vocabularySize: Int
    ) throws(StorageError) -> (train: CorpusManifest.Shard, heldOut: CorpusManifest.Shard)? {
        do throws(StorageError) {
            return (
                try soundShard(Self.trainName(part), vocabularySize),
                try soundShard(Self.heldOutName(part), vocabularySize)
            )
        } catch let error where [.missing, .corrupt, .unsupported].contains(error.code) {
            return nil
        }
    }

    private func soundShard(
        _ name: String, _ vocabularySize: Int
    ) throws(StorageError) -> CorpusManifest.Shard {
        let shard = try TokenShard(path: file(name))
        try shard.verify(vocabularySize: vocabularySize)
        return CorpusManifest.Shard(
            file: name, tokens: shard.count, documents: shard.documents, checksum: shard.checksum)
    }

    /// Writes the shards of `part`.
    func write(
        _ shards: (train: TokenShardWriter, heldOut: TokenShardWriter), part: Int
    ) throws(StorageError) -> (train: CorpusManifest.Shard, heldOut: CorpusManifest.Shard) {
        (
            try write(shards.train, Self.trainName(part)),
            try write(shards.heldOut, Self.heldOutName(part))
        )
    }

    private func write(
        _ shard: TokenShardWriter, _ name: String
    ) throws(StorageError) -> CorpusManifest.Shard {
        let header = try shard.write(to: file(name))
        return CorpusManifest.Shard(
            file: name, tokens: header.tokens, documents: header.documents,
            checksum: header.checksum)
    }

    /// Writes the manifest, which makes the corpus complete.
    func finish(
        _ origin: CorpusManifest.Origin,
        _ shards: [(train: CorpusManifest.Shard, heldOut: CorpusManifest.Shard)]
    ) throws(StorageError) -> CorpusManifest {
        let manifest = CorpusManifest(
            origin: origin, train: shards.map(\.train), heldOut: shards.map(\.heldOut))
        try AtomicFile.write(
            manifest.json.encoded(indented: true), to: file(CorpusManifest.fileName))
        try Folder.remove(file(Self.planName))
        try File.synchronizeFolder(path)
        return manifest
    }
}
