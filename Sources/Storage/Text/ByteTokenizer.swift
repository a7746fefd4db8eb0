/// Text as token ids without any training: one token a byte of UTF-8, and two special tokens.
///
/// The same as the `tokenizer.json` that it writes: Hugging Face's `tokenizers` gives the same ids
/// and the same text for everything.
package struct ByteTokenizer: Sendable, Equatable {
    /// Ends each document, and so stands before each but the first.
    package static let endOfText = 256
    /// Fills up what is too short.
    ///
    /// Never in a corpus.
    package static let padding = 257
    /// Number of ids.
    ///
    /// A model's vocabulary may be larger, never smaller.
    package static let vocabularySize = 258

    static let specialTokens: [(text: String, id: Int)] = [
        ("<|endoftext|>", endOfText), ("<|pad|>", padding),
    ]

    package init() {}

    /// The ids of `text`.
    ///
    /// Text that reads like a special token is text, unless `recognizingSpecialTokens`, as
    /// `tokenizers` does by default.
    package func encode(_ text: String, recognizingSpecialTokens: Bool = false) -> [Int32] {
        guard recognizingSpecialTokens else { return text.utf8.map { Int32($0) } }
        var ids: [Int32] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.first {
            if byte == UInt8(ascii: "<"),
                let token = Self.specialTokens.first(where: { rest.starts(with: $0.text.utf8) })
            {
                ids.append(Int32(token.id))
                rest = rest.dropFirst(token.text.utf8.count)
            } else {
                ids.append(Int32(byte))
                rest = rest.dropFirst()
            }
        }
        return ids
    }

    /// The text of `ids`, special tokens left out; U+FFFD for what is not UTF-8.
    ///
    /// Ids that the vocabulary does not have, which a model with a larger one may give, say
    /// nothing.
    package func decode(_ ids: [Int32]) -> String {
        String(decoding: ids.compactMap { UInt8(exactly: $0) }, as: UTF8.self)
    }
}

/// Turns tokens into text as they come, without ever giving half a character: what may still become
/// one is held back.
///
/// All pieces together are what ``ByteTokenizer/decode(_:)`` gives for all tokens.
package struct TextStream: Sendable {
    /// The start of a character; at most 3 bytes.
    private var pending: [UInt8] = []

    package init() {}

    /// The text that `id` completes; empty while a character is under way.
    package mutating func append(_ id: Int32) -> String {
        guard let byte = UInt8(exactly: id) else { return "" }
        pending.append(byte)
        let kept = Self.unfinishedByteCount(pending)
        let text = String(decoding: pending.dropLast(kept), as: UTF8.self)
        pending = Array(pending.suffix(kept))
        return text
    }

    /// What is left at the end: U+FFFD for a character that was never completed.
    package mutating func finish() -> String {
        let text = String(decoding: pending, as: UTF8.self)
        pending = []
        return text
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
