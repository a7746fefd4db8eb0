/// The start of a file of tokens.
///
/// All numbers are little-endian:
///
///      0   8  magic "MARTLTOK"
///      8   4  version, 1
///     12   4  bytes of a token, 2 or 4
///     16   8  tokens, T
///     24   8  documents, D
///     32   4  CRC-32C of everything behind the header
///     36   4  CRC-32C of the 36 bytes before
///     40  24  zeros
///     64      T tokens, then zeros up to a multiple of 8 bytes,
///             then D numbers of 8 bytes: where each document ends, in tokens
struct TokenShardHeader: Equatable {
    static let byteCount = 64
    static let magic = Array("MARTLTOK".utf8)
    static let version: UInt32 = 1
    /// Most tokens of one shard.
    static let tokensMax = 1 << 31
    private static let checkedBytes = 36

    let tokenBytes: Int
    let tokens: Int
    let documents: Int
    /// CRC-32C of everything behind the header.
    let checksum: UInt32

    /// Where the ends of documents begin in the file.
    var documentsOffset: Int { Self.byteCount + (tokens * tokenBytes + 7) / 8 * 8 }
    /// Bytes of the whole file.
    var fileBytes: Int { documentsOffset + documents * 8 }

    init(tokenBytes: Int, tokens: Int, documents: Int, checksum: UInt32) {
        self.tokenBytes = tokenBytes
        self.tokens = tokens
        self.documents = documents
        self.checksum = checksum
    }

    func encoded() -> [UInt8] {
        var bytes = Self.magic
        bytes.append(littleEndian: Self.version)
        bytes.append(littleEndian: UInt32(tokenBytes))
        bytes.append(littleEndian: UInt64(tokens))
        bytes.append(littleEndian: UInt64(documents))
        bytes.append(littleEndian: checksum)
        bytes.append(littleEndian: Checksum.of(bytes))
        bytes += [UInt8](repeating: 0, count: Self.byteCount - bytes.count)
        return bytes
    }

    /// Reads the header of the file at `path`, which has `fileBytes` bytes and begins with `bytes`.
    ///
    /// Throws `corrupt` or `unsupported`.
    init(_ bytes: [UInt8], fileBytes: Int, path: String) throws(StorageError) {
        func corrupt(_ problem: String) -> StorageError {
            StorageError(.corrupt, "\(path) is no token shard: \(problem)")
        }
        guard bytes.count == Self.byteCount, bytes.starts(with: Self.magic) else {
            throw corrupt("it does not begin like one")
        }
        guard bytes.number(UInt32.self, at: 36) == Checksum.of(Array(bytes[..<Self.checkedBytes]))
        else { throw corrupt("its header is damaged") }
        let version = bytes.number(UInt32.self, at: 8)
        guard version == Self.version else {
            throw StorageError(
                .unsupported, "\(path) is of version \(version), and \(Self.version) is read")
        }
        tokenBytes = Int(bytes.number(UInt32.self, at: 12))
        let counts = (bytes.number(UInt64.self, at: 16), bytes.number(UInt64.self, at: 24))
        guard tokenBytes == 2 || tokenBytes == 4, counts.0 <= Self.tokensMax, counts.1 <= counts.0
        else { throw corrupt("its header makes no sense") }
        tokens = Int(counts.0)
        documents = Int(counts.1)
        checksum = bytes.number(UInt32.self, at: 32)
        guard self.fileBytes == fileBytes else {
            throw corrupt("it has \(fileBytes) bytes, and \(self.fileBytes) are wanted")
        }
    }
}

/// Tokens on their way into a shard.
struct TokenShardWriter {
    private(set) var tokens: [Int32] = []
    private var documentEnds: [Int] = []
    let tokenBytes: Int

    /// Two bytes are enough for a token of a vocabulary up to this.
    static let narrowVocabularyMax = 1 << 16

    init(vocabularySize: Int) {
        tokenBytes = vocabularySize <= Self.narrowVocabularyMax ? 2 : 4
    }

    /// Whether `count` more tokens still fit.
    func fits(_ count: Int) -> Bool { tokens.count + count <= TokenShardHeader.tokensMax }

    /// Appends one document, which is not empty.
    mutating func append(_ ids: [Int32], end: Int32) {
        tokens += ids
        tokens.append(end)
        documentEnds.append(tokens.count)
    }

    /// Writes the file at `path`, whole or not at all.
    ///
    /// Throws `unwritable`.
    func write(to path: String) throws(StorageError) -> TokenShardHeader {
        var body: [UInt8] = []
        body.reserveCapacity(tokens.count * tokenBytes + 8 * (documentEnds.count + 1))
        for token in tokens {
            if tokenBytes == 2 {
                body.append(littleEndian: UInt16(truncatingIfNeeded: token))
            } else {
                body.append(littleEndian: UInt32(bitPattern: token))
            }
        }
        while !body.count.isMultiple(of: 8) { body.append(0) }
        for end in documentEnds { body.append(littleEndian: UInt64(end)) }
        let header = TokenShardHeader(
            tokenBytes: tokenBytes, tokens: tokens.count, documents: documentEnds.count,
            checksum: Checksum.of(body))
        let head = header.encoded()
        try AtomicFile.write(to: path) { (file) throws(StorageError) in
            try file.write(head)
            try file.write(body)
        }
        return header
    }
}

/// A shard, mapped.
struct TokenShard: Sendable {
    private let file: MappedFile
    let count: Int
    let documents: Int
    let checksum: UInt32
    private let tokenBytes: Int
    private let documentsOffset: Int

    /// Maps the shard at `path` and looks at its header.
    ///
    /// Throws `missing`, `unreadable`, `unsupported`, or `corrupt`.
    init(path: String) throws(StorageError) {
        file = try MappedFile(path: path)
        let head = file.bytes(0..<min(TokenShardHeader.byteCount, file.count))
        let header = try TokenShardHeader(head, fileBytes: file.count, path: path)
        count = header.tokens
        documents = header.documents
        checksum = header.checksum
        tokenBytes = header.tokenBytes
        documentsOffset = header.documentsOffset
    }

    /// Reads all of it once: its checksum must be right, its tokens below `vocabularySize`, and its
    /// documents in order.
    ///
    /// Throws `corrupt`.
    func verify(vocabularySize: Int) throws(StorageError) {
        guard file.checksum(from: TokenShardHeader.byteCount) == checksum else {
            throw StorageError(.corrupt, "\(file.path) is damaged: its checksum is wrong")
        }
        // In pieces, so that a large shard is never in memory twice.
        let piece = 1 << 16
        for start in stride(from: 0, to: count, by: piece) {
            let tokens = tokens(start..<min(start + piece, count))
            guard tokens.allSatisfy({ $0 >= 0 && $0 < vocabularySize }) else {
                throw StorageError(
                    .corrupt, "\(file.path) holds tokens that the tokenizer does not have")
            }
        }
        let ends = documentEnds
        guard zip(ends, ends.dropFirst()).allSatisfy({ $0 < $1 }), ends.last ?? 0 == count,
            ends.first ?? 1 > 0
        else { throw StorageError(.corrupt, "\(file.path) has documents without order") }
    }

    /// The tokens in `range`.
    func tokens(_ range: Range<Int>) -> [Int32] {
        var tokens: [Int32] = []
        append(range, to: &tokens)
        return tokens
    }

    func append(_ range: Range<Int>, to tokens: inout [Int32]) {
        precondition(range.upperBound <= count, "\(range) outside 0..<\(count)")
        let offset = TokenShardHeader.byteCount + range.lowerBound * tokenBytes
        if tokenBytes == 2 {
            file.append(UInt16.self, at: offset, count: range.count, to: &tokens)
        } else {
            file.append(UInt32.self, at: offset, count: range.count, to: &tokens)
        }
    }

    /// Where each document ends, in tokens, its end token included.
    var documentEnds: [Int] {
        file.numbers(UInt64.self, at: documentsOffset, count: documents) {
            Int(truncatingIfNeeded: $0)
        }
    }
}

extension [UInt8] {
    mutating func append(littleEndian number: some FixedWidthInteger) {
        for byte in 0..<number.bitWidth / 8 {
            append(UInt8(truncatingIfNeeded: number >> (8 * byte)))
        }
    }

    func number<Number: FixedWidthInteger>(_ type: Number.Type, at offset: Int) -> Number {
        (0..<Number.bitWidth / 8).reversed().reduce(0) { $0 << 8 | Number(self[offset + $1]) }
    }
}
