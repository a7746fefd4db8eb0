/// A set of scalars as a pattern's class names it.
///
/// ASCII is two words of bits. Beyond it, a scalar belongs if its kind does or a range holds it,
/// or, in a negated set, if neither is so.
struct ScalarSet: Equatable {
    /// Bit `c` for the ASCII scalar of value `c`, from 0 and from 64 on.
    private(set) var ascii: (low: UInt64, high: UInt64) = (0, 0)
    /// Bit `k` for the scalars beyond ASCII of raw kind `k`.
    private(set) var kinds: UInt64 = 0
    /// Ranges beyond ASCII, in the order in which they were inserted.
    private(set) var ranges: [ClosedRange<UInt32>] = []
    private(set) var isNegated = false

    init() {}

    static func == (a: ScalarSet, b: ScalarSet) -> Bool {
        a.ascii == b.ascii && a.kinds == b.kinds && a.ranges == b.ranges
            && a.isNegated == b.isNegated
    }

    mutating func insert(_ scalar: Unicode.Scalar) { insert(scalar.value...scalar.value) }

    mutating func insert(_ range: ClosedRange<UInt32>) {
        for value in range where value < 0x80 { insertASCII(value) }
        if range.upperBound >= 0x80 {
            ranges.append(max(range.lowerBound, 0x80)...range.upperBound)
        }
    }

    /// Inserts the scalars of each kind that `isMember` accepts.
    mutating func insert(_ isMember: (ScalarKind) -> Bool) {
        for category in ScalarKind.Category.allCases {
            for isWhitespace in [false, true] {
                let kind = ScalarKind(category, isWhitespace: isWhitespace)
                if isMember(kind) { kinds |= 1 << UInt64(kind.rawValue) }
            }
        }
        for value in UInt32(0)..<0x80 where isMember(ScalarKind(of: Self.asciiScalar(value))) {
            insertASCII(value)
        }
    }

    /// Makes it the set of all other scalars.
    mutating func negate() {
        ascii = (~ascii.low, ~ascii.high)
        isNegated.toggle()
    }

    private static func asciiScalar(_ value: UInt32) -> Unicode.Scalar {
        Unicode.Scalar(UInt8(truncatingIfNeeded: value))
    }

    private mutating func insertASCII(_ value: UInt32) {
        if value < 64 {
            ascii.low |= 1 << UInt64(value)
        } else {
            ascii.high |= 1 << UInt64(value - 64)
        }
    }

    /// Whether no scalar is in both; false also where that would be hard to say.
    func isDisjoint(with other: ScalarSet) -> Bool {
        guard ascii.low & other.ascii.low == 0, ascii.high & other.ascii.high == 0 else {
            return false
        }
        guard hasMoreThanASCII, other.hasMoreThanASCII else { return true }
        guard ranges.isEmpty, other.ranges.isEmpty else { return false }
        let mine = isNegated ? ~kinds : kinds
        let theirs = other.isNegated ? ~other.kinds : other.kinds
        return mine & theirs == 0
    }

    var hasMoreThanASCII: Bool { isNegated || kinds != 0 || !ranges.isEmpty }

    /// The bytes with which the UTF-8 of a scalar in the set may begin, and maybe more.
    var firstBytes: ByteSet {
        var bytes = ByteSet()
        bytes.words[0] = ascii.low
        bytes.words[1] = ascii.high
        if hasMoreThanASCII { bytes.words[3] = ~0 }
        return bytes
    }
}

/// A set of bytes.
struct ByteSet: Equatable {
    var words: [4 of UInt64] = [0, 0, 0, 0]

    static let all: ByteSet = {
        var bytes = ByteSet()
        for index in bytes.words.indices { bytes.words[index] = ~0 }
        return bytes
    }()

    static func == (a: ByteSet, b: ByteSet) -> Bool {
        a.words.indices.allSatisfy { a.words[$0] == b.words[$0] }
    }

    func contains(_ byte: UInt8) -> Bool { words[Int(byte >> 6)] >> UInt64(byte & 63) & 1 != 0 }

    mutating func formUnion(_ other: ByteSet) {
        for index in words.indices { words[index] |= other.words[index] }
    }
}
