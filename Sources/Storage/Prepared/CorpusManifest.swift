/// What a folder of token shards holds, as its `manifest.json` says.
package struct CorpusManifest: Sendable, Equatable {
    package static let fileName = "manifest.json"
    static let format = "martlet-corpus"
    static let version = 1
    /// Most shards of one side.
    static let shardsMax = 1_000_000

    /// One file of tokens.
    package struct Shard: Sendable, Equatable {
        package let file: String
        package let tokens: Int
        package let documents: Int
        /// CRC-32C of everything behind the file's header.
        package let checksum: UInt32
    }

    /// What follows from the sources and settings, before anything is encoded.
    package struct Origin: Sendable, Equatable {
        /// CRC-32C and bytes of `tokenizer.json`, of which the folder has a copy.
        package var tokenizerChecksum: UInt32
        package var tokenizerBytes: Int
        package var vocabularySize: Int
        /// Ends each document.
        package var endToken: Int
        package var heldOutFraction: Double
        package var holdsOutWholeDocuments: Bool
        package var sources: Int
        package var sourceBytes: Int
        /// The same for the same sources in the same order.
        package var sourcesHash: UInt64
        package var textKey: String
        package var parts: Int
    }

    package let origin: Origin
    package let train: [Shard]
    package let heldOut: [Shard]

    package var trainTokens: Int { train.reduce(0) { $0 + $1.tokens } }
    package var heldOutTokens: Int { heldOut.reduce(0) { $0 + $1.tokens } }
    package var trainDocuments: Int { train.reduce(0) { $0 + $1.documents } }
    package var heldOutDocuments: Int { heldOut.reduce(0) { $0 + $1.documents } }

    /// The document as JSON.
    package var json: JSON {
        var members = origin.members
        members += [
            .init(
                name: "totals",
                value: [
                    "train_tokens": .integer(trainTokens),
                    "train_documents": .integer(trainDocuments),
                    "held_out_tokens": .integer(heldOutTokens),
                    "held_out_documents": .integer(heldOutDocuments),
                ]),
            .init(name: "train", value: .array(train.map(Self.json))),
            .init(name: "held_out", value: .array(heldOut.map(Self.json))),
        ]
        return .object(members)
    }

    private static func json(_ shard: Shard) -> JSON {
        [
            "file": .string(shard.file), "tokens": .integer(shard.tokens),
            "documents": .integer(shard.documents), "crc32c": .integer(Int(shard.checksum)),
        ]
    }
}

extension CorpusManifest.Origin {
    var members: [JSON.Member] {
        [
            .init(name: "format", value: .string(CorpusManifest.format)),
            .init(name: "version", value: .integer(CorpusManifest.version)),
            .init(
                name: "tokenizer",
                value: [
                    "file": .string(Tokenizer.fileName), "bytes": .integer(tokenizerBytes),
                    "crc32c": .integer(Int(tokenizerChecksum)),
                    "vocabulary_size": .integer(vocabularySize), "end_token": .integer(endToken),
                ]),
            .init(name: "held_out_fraction", value: .number(heldOutFraction)),
            .init(name: "holds_out_whole_documents", value: .bool(holdsOutWholeDocuments)),
            .init(
                name: "sources",
                value: [
                    "files": .integer(sources), "bytes": .integer(sourceBytes),
                    "hash": .string(String(sourcesHash, radix: 16)),
                    "text_key": .string(textKey), "parts": .integer(parts),
                ]),
        ]
    }

    /// Reads the document at `path`.
    ///
    /// Throws `unsupported` or `corrupt`.
    init(_ json: JSON, path: String) throws(StorageError) {
        guard json["format"]?.string == CorpusManifest.format else {
            throw StorageError(.corrupt, "\(path) is no manifest of a corpus")
        }
        guard json["version"]?.integer == CorpusManifest.version else {
            throw StorageError(
                .unsupported,
                "\(path) is of another version than \(CorpusManifest.version), which is read")
        }
        let tokenizer = json["tokenizer"]
        let sources = json["sources"]
        let fraction: Double? =
            switch json["held_out_fraction"] {
            case .number(let value): value
            case .integer(let value): Double(value)
            default: nil
            }
        let holdsOutWhole: Bool? =
            if case .bool(let value) = json["holds_out_whole_documents"] { value } else { nil }
        guard let checksum = tokenizer?["crc32c"]?.integer.flatMap(UInt32.init(exactly:)),
            let bytes = tokenizer?["bytes"]?.integer,
            let size = tokenizer?["vocabulary_size"]?.integer,
            (1...Tokenizer.vocabularyMax).contains(size),
            let end = tokenizer?["end_token"]?.integer, (0..<size).contains(end),
            let fraction, let holdsOutWhole, let files = sources?["files"]?.integer,
            let sourceBytes = sources?["bytes"]?.integer,
            let hash = sources?["hash"]?.string.flatMap({ UInt64($0, radix: 16) }),
            let textKey = sources?["text_key"]?.string, let parts = sources?["parts"]?.integer
        else { throw StorageError(.corrupt, "\(path) lacks something that a manifest has") }
        self.init(
            tokenizerChecksum: checksum, tokenizerBytes: bytes, vocabularySize: size,
            endToken: end, heldOutFraction: fraction, holdsOutWholeDocuments: holdsOutWhole,
            sources: files, sourceBytes: sourceBytes, sourcesHash: hash, textKey: textKey,
            parts: parts)
    }
}

extension CorpusManifest {
    /// Reads the manifest of the folder at `path`.
    ///
    /// Throws `missing`, `unreadable`, `unsupported`, or `corrupt`.
    package init(folder path: String) throws(StorageError) {
        let file = path.appending(name: Self.fileName)
        let json = try JSON(file: file)
        origin = try Origin(json, path: file)
        train = try Self.shards(json["train"], file)
        heldOut = try Self.shards(json["held_out"], file)
    }

    private static func shards(
        _ list: JSON?, _ path: String
    ) throws(StorageError) -> [Shard] {
        var shards: [Shard] = []
        guard let values = list?.array, values.count <= shardsMax else {
            throw StorageError(.corrupt, "\(path) has no list of shards")
        }
        for value in values {
            // A name of the folder's own: a manifest must not lead out of it.
            guard let file = value["file"]?.string, !file.contains("/"), !file.hasPrefix("."),
                let tokens = value["tokens"]?.integer, let documents = value["documents"]?.integer,
                (0...TokenShardHeader.tokensMax).contains(tokens),
                (0...tokens).contains(documents),
                let checksum = value["crc32c"]?.integer.flatMap(UInt32.init(exactly:))
            else { throw StorageError(.corrupt, "\(path) has a shard that makes no sense") }
            shards.append(
                Shard(file: file, tokens: tokens, documents: documents, checksum: checksum))
        }
        return shards
    }
}
