/// A folder of token shards, opened and found sound; its tokens stay on the disk until they are
/// looked at.
package struct PreparedCorpus: Sendable {
    package let path: String
    package let manifest: CorpusManifest
    package let tokenizer: Tokenizer
    /// What `tokenizer_config.json` says, if the folder has one.
    let tokenizerConfiguration: TokenizerConfiguration?
    let train: ShardedTokens
    let heldOut: ShardedTokens

    /// Whether the folder at `path` says that it is one.
    package static func isPrepared(_ path: String) -> Bool {
        Folder.kind(of: path.appending(name: CorpusManifest.fileName)) == .file
    }

    /// Opens the folder at `path`: the shards must be those of the manifest, every checksum right
    /// and every token the tokenizer's, which reads all of it once.
    ///
    /// Throws `missing`, `unreadable`, `unsupported`, or `corrupt`.
    package static func open(_ path: String) throws(StorageError) -> PreparedCorpus {
        let manifest = try CorpusManifest(folder: path)
        let file = path.appending(name: Tokenizer.fileName)
        let tokenizer = try Tokenizer(path: file)
        guard tokenizer.fileBytes.count == manifest.origin.tokenizerBytes,
            Checksum.of(tokenizer.fileBytes) == manifest.origin.tokenizerChecksum,
            tokenizer.vocabularySize == manifest.origin.vocabularySize
        else {
            throw StorageError(.corrupt, "\(file) is not the tokenizer that made the shards")
        }
        let size = tokenizer.vocabularySize
        return PreparedCorpus(
            path: path, manifest: manifest, tokenizer: tokenizer,
            tokenizerConfiguration: try TokenizerConfiguration(beside: file, tokenizer),
            train: try ShardedTokens(manifest.train, in: path, vocabularySize: size),
            heldOut: try ShardedTokens(manifest.heldOut, in: path, vocabularySize: size))
    }

    /// The same for the same streams of tokens.
    var fingerprint: UInt64 {
        var hash = StableHash()
        for side in [manifest.train, manifest.heldOut] {
            hash.update(UInt64(side.count))
            for shard in side {
                hash.update(UInt64(shard.tokens))
                hash.update(UInt64(shard.checksum))
            }
        }
        return hash.value
    }
}

/// Shards, one behind the other, as one stream of tokens.
struct ShardedTokens: Sendable {
    private let shards: [TokenShard]
    /// Where each shard begins in the stream; one more for its end.
    private let starts: [Int]

    init(
        _ entries: [CorpusManifest.Shard], in folder: String, vocabularySize: Int
    ) throws(StorageError) {
        var shards: [TokenShard] = []
        var starts = [0]
        for entry in entries {
            let shard = try TokenShard(path: folder.appending(name: entry.file))
            guard shard.count == entry.tokens, shard.documents == entry.documents,
                shard.checksum == entry.checksum
            else {
                throw StorageError(
                    .corrupt, "\(entry.file) in \(folder) is not the shard of the manifest")
            }
            try shard.verify(vocabularySize: vocabularySize)
            // Nothing lies in an empty one, and a map of each is not free.
            guard shard.count > 0 else { continue }
            shards.append(shard)
            starts.append(starts[starts.count - 1] + shard.count)
        }
        self.shards = shards
        self.starts = starts
    }

    var count: Int { starts[starts.count - 1] }

    func append(_ range: Range<Int>, to tokens: inout [Int32]) {
        precondition(range.upperBound <= count, "\(range) outside 0..<\(count)")
        var position = range.lowerBound
        while position < range.upperBound {
            let shard = shard(of: position)
            let end = min(range.upperBound, starts[shard + 1])
            shards[shard].append(position - starts[shard]..<end - starts[shard], to: &tokens)
            position = end
        }
    }

    /// The shard in which the token at `position` lies.
    private func shard(of position: Int) -> Int {
        var (low, high) = (0, shards.count)
        while high - low > 1 {
            let middle = (low + high) / 2
            if starts[middle] <= position { low = middle } else { high = middle }
        }
        return low
    }
}

/// Tokens in memory or on the disk.
enum TokenStream: Sendable {
    case memory([UInt16])
    case encoded([Int32])
    case shards(ShardedTokens)

    var count: Int {
        switch self {
        case .memory(let tokens): tokens.count
        case .encoded(let tokens): tokens.count
        case .shards(let shards): shards.count
        }
    }

    func append(_ range: Range<Int>, to tokens: inout [Int32]) {
        switch self {
        case .memory(let stream): for token in stream[range] { tokens.append(Int32(token)) }
        case .encoded(let stream): tokens += stream[range]
        case .shards(let shards): shards.append(range, to: &tokens)
        }
    }
}
