/// The vocabulary and the merges of a byte-pair encoding (Sennrich, Haddow and Birch 2016).
struct BytePairModel: Sendable {
    /// Every token as the file spells it, by number of insertion.
    private(set) var vocabulary: ByteTable
    /// The id of each string of `vocabulary`.
    private(set) var ids: [Int32] = []
    private(set) var merges: PairTable
    /// The id of each symbol of one byte, or -1: all bytes of a byte-level model, else ASCII.
    private(set) var idOfByte = [Int32](repeating: -1, count: 256)
    /// Whole words that are tokens, where they go before merges; their ids in `idsOfWords`.
    private(set) var words: ByteTable?
    private(set) var idsOfWords: [Int32] = []
    /// Whether a symbol is a byte; else it is a scalar.
    let isByteLevel: Bool
    /// The token of what has none, and whether one stands for several in a row.
    let unknown: (id: Int32, fuses: Bool)?
    /// The tokens "<0x00>" and so on, or -1; nil where scalars do not fall back to them.
    private(set) var idOfFallbackByte: [Int32]?

    /// What a file says of a model.
    struct Contents {
        var vocabulary: [(token: [UInt8], id: Int32)] = []
        var merges: [(left: [UInt8], right: [UInt8])] = []
        var unknownToken: [UInt8]?
        var fusesUnknown = false
        var fallsBackToBytes = false
        var ignoresMerges = false
    }

    /// Why contents make no model.
    struct Flaw: Error {
        /// The member of the model.
        let member: String
        let problem: String
    }

    init(_ contents: Contents, isByteLevel: Bool) throws(Flaw) {
        self.isByteLevel = isByteLevel
        vocabulary = ByteTable(capacity: contents.vocabulary.count)
        merges = PairTable(capacity: contents.merges.count)
        for (token, id) in contents.vocabulary {
            guard vocabulary.insert(token) else {
                throw Flaw(member: "vocab", problem: "has tokens made to collide")
            }
            ids.append(id)
        }
        if let token = contents.unknownToken {
            guard let number = vocabulary.number(of: token) else {
                throw Flaw(member: "unk_token", problem: "is not in the vocabulary")
            }
            unknown = (ids[number], contents.fusesUnknown)
        } else {
            unknown = nil
        }
        try insertMerges(contents.merges)
        setSymbols()
        if contents.fallsBackToBytes {
            idOfFallbackByte = (UInt8.min...UInt8.max).map {
                id(of: Array(Self.fallbackName(of: $0).utf8)) ?? -1
            }
        }
        if contents.ignoresMerges { try insertWords(contents.vocabulary) }
    }

    /// The id of the token that the file spells so.
    func id(of token: [UInt8]) -> Int32? { vocabulary.number(of: token).map { ids[$0] } }

    /// How a model with byte fallback spells `byte`.
    static func fallbackName(of byte: UInt8) -> String {
        let digits = String(byte, radix: 16, uppercase: true)
        return "<0x\(digits.count == 1 ? "0" : "")\(digits)>"
    }

    private mutating func insertMerges(
        _ list: [(left: [UInt8], right: [UInt8])]
    ) throws(Flaw) {
        for (rank, pair) in list.enumerated() {
            func problem(_ token: [UInt8]) -> Flaw {
                let name = String(decoding: token, as: UTF8.self)
                return Flaw(
                    member: "merges",
                    problem: "number \(rank) needs the token \"\(name)\","
                        + " which is not in the vocabulary")
            }
            guard let left = id(of: pair.left) else { throw problem(pair.left) }
            guard let right = id(of: pair.right) else { throw problem(pair.right) }
            guard let token = id(of: pair.left + pair.right) else {
                throw problem(pair.left + pair.right)
            }
            let merge = PairTable.Merge(rank: UInt32(rank), token: token)
            guard merges.insert(left, right, merge) else {
                throw Flaw(member: "merges", problem: "has pairs made to collide")
            }
        }
    }

    private mutating func setSymbols() {
        for byte in UInt8.min...UInt8.max {
            let symbol: [UInt8]
            if isByteLevel {
                symbol = Array(String(ByteAlphabet.symbol(of: byte)).utf8)
            } else {
                guard byte < 0x80 else { continue }
                symbol = [byte]
            }
            idOfByte[Int(byte)] = id(of: symbol) ?? -1
        }
    }

    private mutating func insertWords(
        _ tokens: [(token: [UInt8], id: Int32)]
    ) throws(Flaw) {
        var words = ByteTable(capacity: tokens.count)
        for (token, id) in tokens {
            // A token in other letters than the alphabet's is spelled by no word.
            let word = isByteLevel ? ByteAlphabet.bytes(of: token) : token
            guard let word, !word.isEmpty else { continue }
            guard words.insert(word) else {
                throw Flaw(member: "vocab", problem: "has tokens made to collide")
            }
            idsOfWords.append(id)
        }
        self.words = words
    }
}

/// GPT-2's spelling of bytes by letters: each byte is one scalar that can be seen.
enum ByteAlphabet {
    /// The stand-in for `byte`: itself where it is printable in Latin-1, else the next free scalar
    /// from U+0100 on.
    static func symbol(of byte: UInt8) -> Character { Character(symbols[Int(byte)]) }

    private static let symbols: [Unicode.Scalar] = {
        var rank: UInt32 = 0
        return (UInt8.min...UInt8.max).map { byte in
            let isPrintable =
                (0x21...0x7e).contains(byte) || (0xa1...0xac).contains(byte) || byte >= 0xae
            guard !isPrintable else { return Unicode.Scalar(byte) }
            defer { rank += 1 }
            return Unicode.Scalar(0x100 + rank) ?? "\u{fffd}"
        }
    }()

    private static let bytes: [Unicode.Scalar: UInt8] = Dictionary(
        uniqueKeysWithValues: (UInt8.min...UInt8.max).map { (symbols[Int($0)], $0) })

    /// The bytes that `token` spells; nil where a letter is not of the alphabet.
    static func bytes(of token: [UInt8]) -> [UInt8]? {
        var bytes: [UInt8] = []
        for scalar in String(decoding: token, as: UTF8.self).unicodeScalars {
            guard let byte = Self.bytes[scalar] else { return nil }
            bytes.append(byte)
        }
        return bytes
    }
}
