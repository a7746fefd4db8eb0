/// Text as token ids and back, as a Hugging Face `tokenizer.json` says: byte-level byte-pair
/// encodings (GPT-2, Qwen, Llama 3, DeepSeek) and those over characters with byte fallback
/// (Llama 2, Mixtral).
///
/// The same ids and the same text as the `tokenizers` library gives.
package struct Tokenizer: Sendable {
    /// Name of the file in a checkpoint's folder.
    package static let fileName = "tokenizer.json"
    /// Name of the file beside it that tells `transformers` what the special tokens are for.
    package static let configurationFileName = "tokenizer_config.json"
    /// Largest file that is read; those in use have up to 35 MB.
    package static let fileBytesMax = 256 << 20
    /// Largest vocabulary, and so one more than the largest id.
    package static let vocabularyMax = 4_000_000
    /// Most merges.
    package static let mergesMax = 4_000_000
    /// Longest token, in bytes.
    package static let tokenBytesMax = 4_096
    /// Most tokens beside the model's vocabulary.
    package static let addedTokensMax = 100_000
    /// Most steps of a normalizer, a splitter, a decoder or a template.
    package static let stepsMax = 64

    /// What a file is read into.
    struct Parts: Sendable {
        var model: BytePairModel
        var normalizer: [NormalizerStep] = []
        var splitter: [SplitStep] = []
        var decoder: [DecoderStep] = []
        /// Ids before and behind every text that is encoded with its template.
        var template: (before: [Int32], behind: [Int32]) = ([], [])
        /// In the order of the file.
        var addedTokens: [AddedToken] = []

        /// How `token` is looked for in text, and decoded.
        func spelling(of token: AddedToken) -> [UInt8] {
            guard token.isNormalized else { return token.content }
            var content = token.content
            for step in normalizer { step.apply(to: &content) }
            return content
        }
    }

    let parts: Parts
    let spellings: TokenSpellings
    /// Finds tokens in the text as it is, and in the normalized text.
    let rawFinder: AddedTokenFinder
    let normalizedFinder: AddedTokenFinder
    /// The contents of the file.
    package let fileBytes: [UInt8]

    /// Reads the file at `path`.
    ///
    /// Throws `missing`, `unreadable`, `corrupt` where it is no tokenizer, or `unsupported` for
    /// anything in it that is not read here.
    package init(path: String) throws(StorageError) {
        let bytes = try AtomicFile.read(path, byteCountMax: Self.fileBytesMax)
        try self.init(parsing: bytes, path: path)
    }

    /// Reads the contents of a file; `path` is what errors call it.
    ///
    /// Throws `corrupt` or `unsupported`.
    package init(parsing bytes: [UInt8], path: String) throws(StorageError) {
        guard bytes.count <= Self.fileBytesMax else {
            throw StorageError(
                .unsupported,
                "\(path) has \(bytes.count) bytes, more than the limit of \(Self.fileBytesMax)")
        }
        let parts = try TokenizerReader(parsing: bytes, path: path).read()
        self.parts = parts
        fileBytes = bytes
        spellings = TokenSpellings(parts)
        rawFinder = AddedTokenFinder(parts.addedTokens.filter { !$0.isNormalized }) { $0.content }
        normalizedFinder = AddedTokenFinder(parts.addedTokens.filter(\.isNormalized)) {
            parts.spelling(of: $0)
        }
    }

    /// One more than the largest id.
    package var vocabularySize: Int { spellings.count }

    /// The id of the token that the file calls `token`.
    package func id(of token: String) -> Int32? {
        let bytes = Array(token.utf8)
        return parts.addedTokens.first { $0.content == bytes }?.id ?? parts.model.id(of: bytes)
    }

    /// What the file calls the token `id`.
    package func token(_ id: Int32) -> String? {
        spellings.name(of: id).map { String(decoding: $0, as: UTF8.self) }
    }

    /// Whether decoded text leaves out `id`.
    package func isSpecial(_ id: Int32) -> Bool { spellings.isSpecial(id) }

    /// The ids of `text`.
    ///
    /// Text that reads like a special token is text, unless `recognizingSpecialTokens`, as
    /// `tokenizers` does by default; with `addingTemplate` the tokens come with it that the file
    /// wants around every text.
    ///
    /// Throws `unsupported` for text through which a pattern of the file does not find its way.
    package func encode(
        _ text: String, recognizingSpecialTokens: Bool = false, addingTemplate: Bool = false
    ) throws(StorageError) -> [Int32] {
        var encoder = TokenEncoder(self)
        let ids = try encoder.encode(
            Array(text.utf8), recognizingSpecialTokens: recognizingSpecialTokens)
        return addingTemplate ? parts.template.before + ids + parts.template.behind : ids
    }

    /// The text of `ids`, special tokens left out unless told otherwise; U+FFFD for what is not
    /// UTF-8.
    ///
    /// Ids that the vocabulary does not have, which a model with a larger one may give, say
    /// nothing.
    package func decode(_ ids: [Int32], skippingSpecialTokens: Bool = true) -> String {
        var stream = stream(skippingSpecialTokens: skippingSpecialTokens)
        var text = ""
        for id in ids { text += stream.append(id) }
        return text + stream.finish()
    }

    /// Turns tokens into text as they come.
    package func stream(skippingSpecialTokens: Bool = true) -> TextStream {
        TextStream(self, skipsSpecial: skippingSpecialTokens)
    }
}

/// What the file calls each id, and the bytes that it stands for.
struct TokenSpellings: Sendable {
    private var names: [UInt8] = []
    private var bytes: [UInt8] = []
    /// Where the name and the bytes of each id begin; empty where it has none.
    private var nameRanges: [Range<Int>] = []
    private var byteRanges: [Range<Int>] = []
    private var specials: Set<Int32> = []

    init(_ parts: Tokenizer.Parts) {
        let vocabulary = parts.model.vocabulary
        for (number, id) in parts.model.ids.enumerated() { set(Array(vocabulary[number]), id) }
        for token in parts.addedTokens {
            set(parts.spelling(of: token), token.id)
            if token.isSpecial { specials.insert(token.id) }
        }
    }

    private mutating func set(_ name: [UInt8], _ id: Int32) {
        while nameRanges.count <= Int(id) {
            nameRanges.append(0..<0)
            byteRanges.append(0..<0)
        }
        nameRanges[Int(id)] = names.count..<names.count + name.count
        names += name
        // What is not of the alphabet stands for itself.
        let spelled = ByteAlphabet.bytes(of: name) ?? name
        byteRanges[Int(id)] = bytes.count..<bytes.count + spelled.count
        bytes += spelled
    }

    var count: Int { nameRanges.count }

    func isSpecial(_ id: Int32) -> Bool { specials.contains(id) }

    /// What the file calls `id`; nil where no token has it.
    func name(of id: Int32) -> ArraySlice<UInt8>? {
        guard nameRanges.indices.contains(Int(id)), !nameRanges[Int(id)].isEmpty else {
            return nil
        }
        return names[nameRanges[Int(id)]]
    }

    /// The bytes that `id` spells in the byte alphabet.
    func bytes(of id: Int32) -> ArraySlice<UInt8> {
        guard byteRanges.indices.contains(Int(id)) else { return [] }
        return bytes[byteRanges[Int(id)]]
    }
}
