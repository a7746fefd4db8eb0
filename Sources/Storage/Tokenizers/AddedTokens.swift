/// Tokens that stand beside the model's vocabulary and are found in the text before it is split.
struct AddedToken: Sendable, Equatable {
    let id: Int32
    /// As the file gives it.
    let content: [UInt8]
    /// Only where no letter, digit or mark touches it.
    var isSingleWord = false
    /// Takes the white space before it.
    var stripsLeft = false
    /// Takes the white space behind it.
    var stripsRight = false
    /// Looked for in the normalized text, and normalized itself.
    var isNormalized = false
    /// Left out of decoded text, and plain text to whoever asks for that.
    var isSpecial = false
}

/// Finds added tokens: the leftmost, and of those that begin there the longest.
struct AddedTokenFinder: Sendable {
    /// One piece of a text: an added token, or what lies between two.
    struct Piece: Equatable {
        let range: Range<Int>
        let id: Int32?
    }

    /// The child by which a byte leads on from a node: node in the upper bits, byte in the lower.
    private var children: [UInt64: Int32] = [:]
    /// The index in `tokens` of what ends at each node, or -1.
    private var ends: [Int32] = [-1]
    private var isFirst = [Bool](repeating: false, count: 256)
    private let tokens: [AddedToken]

    /// `spelling` gives the bytes by which a token is found.
    init(_ tokens: [AddedToken], spelling: (AddedToken) -> [UInt8]) {
        self.tokens = tokens
        for (index, token) in tokens.enumerated() {
            var node: Int32 = 0
            for byte in spelling(token) {
                if node == 0 { isFirst[Int(byte)] = true }
                let key = UInt64(node) << 8 | UInt64(byte)
                if let child = children[key] {
                    node = child
                } else {
                    children[key] = Int32(ends.count)
                    node = Int32(ends.count)
                    ends.append(-1)
                }
            }
            if node != 0 { ends[Int(node)] = Int32(index) }
        }
    }

    var isEmpty: Bool { ends.count == 1 }

    /// The pieces of `range` of `bytes`, from left to right; special tokens are text unless
    /// `recognizingSpecial`.
    func pieces(
        of bytes: [UInt8], _ range: Range<Int>, recognizingSpecial: Bool
    ) -> [Piece] {
        guard !isEmpty else { return range.isEmpty ? [] : [Piece(range: range, id: nil)] }
        var pieces: [Piece] = []
        var done = range.lowerBound
        var position = range.lowerBound
        while position < range.upperBound {
            guard isFirst[Int(bytes[position])],
                let (token, end) = longest(in: bytes, position, range.upperBound)
            else {
                position += 1
                continue
            }
            let found = position..<end
            position = end
            if token.isSpecial, !recognizingSpecial { continue }
            if token.isSingleWord, TextEdges.touchesWord(bytes, range, found) { continue }
            var (start, stop) = (found.lowerBound, found.upperBound)
            if token.stripsLeft {
                start = max(TextEdges.spaceStart(bytes, range.lowerBound, start), done)
            }
            if token.stripsRight { stop = TextEdges.spaceEnd(bytes, stop, range.upperBound) }
            if done < start { pieces.append(Piece(range: done..<start, id: nil)) }
            pieces.append(Piece(range: start..<max(start, stop), id: token.id))
            done = stop
        }
        if done < range.upperBound {
            pieces.append(Piece(range: done..<range.upperBound, id: nil))
        }
        return pieces
    }

    private func longest(
        in bytes: [UInt8], _ start: Int, _ end: Int
    ) -> (AddedToken, Int)? {
        var node: Int32 = 0
        var best: (AddedToken, Int)?
        for position in start..<end {
            guard let child = children[UInt64(node) << 8 | UInt64(bytes[position])] else { break }
            node = child
            let index = Int(ends[Int(node)])
            if index >= 0 { best = (tokens[index], position + 1) }
        }
        return best
    }
}

/// White space and words at the edges of a token in a text.
enum TextEdges {
    /// Whether a scalar of a word stands right before or behind `found` within `range`.
    static func touchesWord(
        _ bytes: [UInt8], _ range: Range<Int>, _ found: Range<Int>
    ) -> Bool {
        let before =
            found.lowerBound > range.lowerBound
            ? scalar(before: found.lowerBound, bytes, range.lowerBound) : nil
        let behind =
            found.upperBound < range.upperBound
            ? scalar(at: found.upperBound, bytes, range.upperBound) : nil
        return [before, behind].contains { $0.map(isWord) ?? false }
    }

    /// Where the white space that ends at `end` begins, from `floor` on.
    static func spaceStart(_ bytes: [UInt8], _ floor: Int, _ end: Int) -> Int {
        var start = end
        while start > floor, let scalar = scalar(before: start, bytes, floor),
            scalar.properties.isWhitespace
        { start -= UTF8.width(scalar) }
        return start
    }

    /// Where the white space that begins at `start` ends, up to `ceiling`.
    static func spaceEnd(_ bytes: [UInt8], _ start: Int, _ ceiling: Int) -> Int {
        var end = start
        while end < ceiling, let scalar = scalar(at: end, bytes, ceiling),
            scalar.properties.isWhitespace
        { end += UTF8.width(scalar) }
        return end
    }

    /// A scalar of a word by Unicode's report 18: a letter, a mark, a digit, or what joins them.
    private static func isWord(_ scalar: Unicode.Scalar) -> Bool {
        let properties = scalar.properties
        if properties.isAlphabetic || properties.isJoinControl { return true }
        return switch properties.generalCategory {
        case .nonspacingMark, .spacingMark, .enclosingMark, .decimalNumber,
            .connectorPunctuation:
            true
        default: false
        }
    }

    private static func scalar(
        before position: Int, _ bytes: [UInt8], _ floor: Int
    ) -> Unicode.Scalar? {
        var start = position - 1
        while start > floor, bytes[start] & 0xc0 == 0x80 { start -= 1 }
        return scalar(at: start, bytes, position)
    }

    private static func scalar(
        at position: Int, _ bytes: [UInt8], _ end: Int
    ) -> Unicode.Scalar? {
        let length = Pattern.scalarLength(bytes[position])
        let text = bytes[position..<min(position + length, end)]
        return String(decoding: text, as: UTF8.self).unicodeScalars.first
    }
}
