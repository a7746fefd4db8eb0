/// One step from tokens to text.
enum DecoderStep: Sendable, Equatable {
    /// Tokens spell bytes in the byte alphabet.
    case byteLevel
    /// Replaces every occurrence in each piece.
    case replace([UInt8], by: [UInt8])
    /// Runs of tokens like "<0xE2>" are bytes; a run that is not UTF-8 is one U+FFFD a byte.
    case byteFallback
    /// What follows sees one piece.
    case fuse
    /// Takes up to `start` of `content` from the start of a piece, and up to `stop` from its end.
    case strip(content: [UInt8], start: Int, stop: Int)
    /// The replacement is a space; in the first piece nothing, if `dropsFirst`.
    case metaspace(replacement: [UInt8], dropsFirst: Bool)
    /// Pieces stand apart by spaces, which is how a tokenizer without decoder reads.
    case spaced
}

/// Turns tokens into text as they come, without ever giving half a character: what may still become
/// one is held back.
///
/// All pieces together are what ``Tokenizer/decode(_:skippingSpecialTokens:)`` gives for all
/// tokens.
package struct TextStream: Sendable {
    private let tokenizer: Tokenizer
    private let skipsSpecial: Bool
    /// Bytes that are no text yet: the start of a character, or a run of byte tokens.
    private var pending: [UInt8] = []
    /// Whether nothing has come through the step that asks.
    private var isFirst = true
    /// Behind a fuse: how many more may be stripped from the start; nil before the first piece.
    private var stripsLeft: Int?

    init(_ tokenizer: Tokenizer, skipsSpecial: Bool) {
        self.tokenizer = tokenizer
        self.skipsSpecial = skipsSpecial
    }

    /// The text that `id` completes; empty while a character is under way.
    package mutating func append(_ id: Int32) -> String {
        guard let name = tokenizer.spellings.name(of: id),
            !(skipsSpecial && tokenizer.isSpecial(id))
        else { return "" }
        var output: [UInt8] = []
        if tokenizer.parts.decoder.first == .byteLevel {
            pass(Array(tokenizer.spellings.bytes(of: id)), to: 0, &output)
        } else {
            pass(Array(name), to: 0, &output)
        }
        return String(decoding: output, as: UTF8.self)
    }

    /// What is left at the end: U+FFFD for a character that was never completed.
    package mutating func finish() -> String {
        var output: [UInt8] = []
        for (index, step) in tokenizer.parts.decoder.enumerated() {
            switch step {
            case .byteLevel:
                let text = String(decoding: pending, as: UTF8.self)
                pending = []
                pass(Array(text.utf8), to: index + 1, &output)
            case .byteFallback: endRun(at: index, &output)
            default: break
            }
        }
        return String(decoding: output, as: UTF8.self)
    }

    /// Hands `piece` to step number `index`.
    private mutating func pass(_ piece: [UInt8], to index: Int, _ output: inout [UInt8]) {
        let steps = tokenizer.parts.decoder
        guard index < steps.count else {
            output += piece
            return
        }
        switch steps[index] {
        case .byteLevel:
            pending += piece
            let kept = Self.unfinishedByteCount(pending)
            let text = String(decoding: pending.dropLast(kept), as: UTF8.self)
            pending = Array(pending.suffix(kept))
            pass(Array(text.utf8), to: index + 1, &output)
        case .replace(let pattern, let content):
            pass(piece.replacing(pattern, by: content), to: index + 1, &output)
        case .byteFallback:
            if let byte = Self.fallbackByte(piece) {
                pending.append(byte)
            } else {
                endRun(at: index, &output)
                pass(piece, to: index + 1, &output)
            }
        case .fuse: pass(piece, to: index + 1, &output)
        case .strip(let content, let start, let stop):
            let isFused = steps[..<index].contains(.fuse)
            let rest =
                isFused
                ? strippedStart(piece, content, start)
                : Self.stripped(piece, content, start, stop)
            pass(rest, to: index + 1, &output)
        case .metaspace(let replacement, let dropsFirst):
            let content = isFirst && dropsFirst ? [] : [UInt8(ascii: " ")]
            isFirst = false
            pass(piece.replacing(replacement, by: content), to: index + 1, &output)
        case .spaced:
            pass((isFirst ? [] : [UInt8(ascii: " ")]) + piece, to: index + 1, &output)
            isFirst = false
        }
    }

    /// Takes from the start of all text what may still be taken.
    private mutating func strippedStart(
        _ piece: [UInt8], _ content: [UInt8], _ start: Int
    ) -> [UInt8] {
        var left = stripsLeft ?? start
        var rest = piece[...]
        while left > 0, !rest.isEmpty {
            guard rest.starts(with: content) else {
                left = 0
                break
            }
            rest = rest.dropFirst(content.count)
            left -= 1
        }
        stripsLeft = left
        return Array(rest)
    }

    private static func stripped(
        _ piece: [UInt8], _ content: [UInt8], _ start: Int, _ stop: Int
    ) -> [UInt8] {
        var rest = piece[...]
        for _ in 0..<start where rest.starts(with: content) { rest = rest.dropFirst(content.count) }
        for _ in 0..<stop where rest.suffix(content.count) == content[...] {
            rest = rest.dropLast(content.count)
        }
        return Array(rest)
    }

    // MARK: Bytes

    /// Hands the text of a run of byte tokens on.
    private mutating func endRun(at index: Int, _ output: inout [UInt8]) {
        guard !pending.isEmpty else { return }
        let run = pending
        pending = []
        if String(validating: run, as: UTF8.self) != nil {
            pass(run, to: index + 1, &output)
        } else {
            for _ in run { pass(Array("\u{fffd}".utf8), to: index + 1, &output) }
        }
    }

    /// The byte that a token like "<0xE2>" stands for.
    private static func fallbackByte(_ piece: [UInt8]) -> UInt8? {
        guard piece.count == 6, piece.starts(with: "<0x".utf8), piece[5] == UInt8(ascii: ">") else {
            return nil
        }
        return UInt8(String(decoding: piece[3..<5], as: UTF8.self), radix: 16)
    }

    /// How many bytes at the end of `bytes` are the beginning of a well-formed character (The
    /// Unicode Standard, table 3-7) and no whole one.
    private static func unfinishedByteCount(_ bytes: [UInt8]) -> Int {
        for count in 1...3 where count <= bytes.count {
            let tail = bytes.suffix(count)
            guard let lead = tail.first, lead & 0xc0 != 0x80 else { continue }
            let (length, second): (Int, ClosedRange<UInt8>) =
                switch lead {
                case 0xc2...0xdf: (2, 0x80...0xbf)
                case 0xe0: (3, 0xa0...0xbf)
                case 0xed: (3, 0x80...0x9f)
                case 0xe1...0xef: (3, 0x80...0xbf)
                case 0xf0: (4, 0x90...0xbf)
                case 0xf4: (4, 0x80...0x8f)
                case 0xf1...0xf3: (4, 0x80...0xbf)
                default: (1, 0...0)
                }
            guard count < length else { return 0 }
            return tail.dropFirst().first.map(second.contains) ?? true ? count : 0
        }
        return 0
    }
}
