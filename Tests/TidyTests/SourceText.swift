/// A text file of the package, and for Swift its tokens.
struct SourceText {
    /// Relative to the package's root, with `/`.
    let path: String
    let text: String
    /// The Swift words and signs of `text`, without comments and what strings say.
    let tokens: [Token]

    init(_ path: String, _ text: String) {
        self.path = path
        self.text = text
        tokens = path.hasSuffix(".swift") ? Lexer.tokens(of: text) : []
    }

    var lines: [Substring] { text.split(separator: "\n", omittingEmptySubsequences: false) }

    var fileName: String { path.split(separator: "/").last.map(String.init) ?? path }

    /// Whether a generator wrote it, so that no limit of taste holds.
    var isGenerated: Bool { path.contains("/Generated/") }

    /// `Cluster` for `Sources/Cluster/TCP/TLS.swift`; nil outside `Sources`.
    var module: String? {
        let parts = path.split(separator: "/")
        return parts.count > 2 && parts[0] == "Sources" ? String(parts[1]) : nil
    }

    func isUnder(_ folder: String) -> Bool { path == folder || path.hasPrefix(folder + "/") }
}

/// A word, or one sign.
struct Token: Equatable {
    let text: String
    /// Counted from 1.
    let line: Int
    /// Whether nothing stands between it and the token before it.
    let isGlued: Bool

    var isWord: Bool {
        text.utf8.first.map { Lexer.isWordByte($0) } ?? false
    }
}

/// Cuts Swift into tokens.
///
/// It knows as much of the language as the checks need: comments, strings with what is interpolated
/// into them, words and signs. Regular expression literals are not among it; Martlet has none.
struct Lexer {
    private let bytes: [UInt8]
    private var position = 0
    private var line = 1
    private var tokens: [Token] = []
    /// Where the last token ended.
    private var end = -1

    static func tokens(of text: String) -> [Token] {
        var lexer = Lexer(bytes: Array(text.utf8))
        lexer.readCode(until: nil)
        return lexer.tokens
    }

    private init(bytes: [UInt8]) { self.bytes = bytes }

    static func isWordByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), 0x80...:
            true
        default: false
        }
    }

    private func sees(_ sign: String) -> Bool { bytes[position...].starts(with: sign.utf8) }

    private mutating func skip(_ count: Int) {
        for byte in bytes[position..<min(position + count, bytes.count)]
        where byte == UInt8(ascii: "\n") { line += 1 }
        position = min(position + count, bytes.count)
    }

    /// Reads to the end, or to the closing parenthesis of an interpolation.
    private mutating func readCode(until close: UInt8?) {
        var depth = 0
        while position < bytes.count {
            let byte = bytes[position]
            if Lexer.isWordByte(byte) {
                readWord()
            } else if byte == UInt8(ascii: "/"), sees("//") {
                while position < bytes.count, bytes[position] != UInt8(ascii: "\n") { skip(1) }
            } else if byte == UInt8(ascii: "/"), sees("/*") {
                while position < bytes.count, !sees("*/") { skip(1) }
                skip(2)
            } else if byte == UInt8(ascii: "\""), sees("\"\"\"") {
                skip(3)
                readString(isLong: true, hashes: 0)
            } else if byte == UInt8(ascii: "\"") {
                skip(1)
                readString(isLong: false, hashes: 0)
            } else if byte == UInt8(ascii: "#"), let hashes = hashesBeforeQuote() {
                let isLong = Array(bytes[position...].dropFirst(hashes).prefix(3)) == Lexer.quotes
                skip(hashes + (isLong ? 3 : 1))
                readString(isLong: isLong, hashes: hashes)
            } else if byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\n") {
                skip(1)
            } else {
                if byte == UInt8(ascii: "(") { depth += 1 }
                if byte == UInt8(ascii: ")") {
                    if depth == 0, close == byte { return skip(1) }
                    depth -= 1
                }
                append(from: position, to: position + 1)
                skip(1)
            }
        }
    }

    private static let quotes = [UInt8](repeating: UInt8(ascii: "\""), count: 3)

    private mutating func readWord() {
        var stop = position
        while stop < bytes.count, Lexer.isWordByte(bytes[stop]) { stop += 1 }
        append(from: position, to: stop)
        position = stop
    }

    private mutating func append(from start: Int, to stop: Int) {
        let text = String(decoding: bytes[start..<stop], as: UTF8.self)
        tokens.append(Token(text: text, line: line, isGlued: end == start))
        end = stop
    }

    /// How many `#` stand here before a string, if a string it is.
    private func hashesBeforeQuote() -> Int? {
        var count = 0
        while position + count < bytes.count, bytes[position + count] == UInt8(ascii: "#") {
            count += 1
        }
        let isString =
            position + count < bytes.count && bytes[position + count] == UInt8(ascii: "\"")
        return isString ? count : nil
    }

    /// Reads on behind the opening quotes until the closing ones are behind us, too.
    private mutating func readString(isLong: Bool, hashes: Int) {
        let raw = [UInt8](repeating: UInt8(ascii: "#"), count: hashes)
        let close = (isLong ? Lexer.quotes : [UInt8(ascii: "\"")]) + raw
        let escape = [UInt8(ascii: "\\")] + raw
        let opening = escape + [UInt8(ascii: "(")]
        while position < bytes.count {
            let byte = bytes[position]
            if byte == UInt8(ascii: "\\"), bytes[position...].starts(with: opening) {
                skip(opening.count)
                readCode(until: UInt8(ascii: ")"))
            } else if byte == UInt8(ascii: "\\"), bytes[position...].starts(with: escape) {
                skip(escape.count + 1)
            } else if byte == UInt8(ascii: "\""), bytes[position...].starts(with: close) {
                return skip(close.count)
            } else {
                skip(1)
            }
        }
    }
}

extension SourceText {
    /// The lines on which `pattern` stands.
    ///
    /// A pattern is written with one space between its tokens: `Task . detached`. Signs must stand
    /// right behind what is before them, and words too, if that is a sign.
    func lines(with pattern: String) -> [Int] {
        let words = pattern.split(separator: " ").map(String.init)
        guard let first = words.first else { return [] }
        return tokens.indices.filter { index in
            guard tokens[index].text == first, index + words.count <= tokens.count else {
                return false
            }
            return words.indices.dropFirst().allSatisfy { offset in
                let token = tokens[index + offset]
                let mayStandApart = token.text == "{"
                return token.text == words[offset] && (token.isGlued || mayStandApart)
            }
        }.map { tokens[$0].line }
    }
}
