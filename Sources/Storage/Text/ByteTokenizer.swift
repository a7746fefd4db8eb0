/// The tokenizer that needs no training: one token a byte of UTF-8, and two special tokens.
///
/// It is written as a `tokenizer.json` like any other, and read as one: a byte-pair encoding
/// without merges over the 256 symbols by which GPT-2 writes bytes, here in the order of the bytes.
package enum ByteTokenizer {
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

    /// The contents of `tokenizer.json`.
    package static var fileBytes: [UInt8] {
        let byteLevel: JSON = [
            "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
            "use_regex": false,
        ]
        let vocabulary = (UInt8.min...UInt8.max).map {
            JSON.Member(name: String(ByteAlphabet.symbol(of: $0)), value: .integer(Int($0)))
        }
        return TokenizerFile.document(
            addedTokens: specialTokens, normalizer: nil, splitter: byteLevel, decoder: byteLevel,
            vocabulary: vocabulary, merges: []
        ).encoded(indented: true)
    }

    /// The contents of `tokenizer_config.json` for a model of at most `contextLength` tokens.
    package static func configurationFileBytes(contextLength: Int) -> [UInt8] {
        TokenizerFile.configuration(
            contextLength: contextLength, end: specialTokens[0].text,
            padding: specialTokens[1].text
        ).encoded(indented: true)
    }
}
