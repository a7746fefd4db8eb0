/// Learns a byte-level byte-pair encoding from text: counts words, then merges the commonest pair
/// of neighbours again and again (Sennrich, Haddow and Birch 2016).
///
/// The same text gives the same tokenizer, and of pairs that are equally common the one of the
/// lowest ids goes first, as in the `tokenizers` library's trainer.
package struct BytePairTrainer: Sendable {
    /// How text is split before pairs are counted.
    package enum Split: String, Sendable, CaseIterable {
        case gpt2, qwen2, llama3

        var pattern: String {
            switch self {
            case .gpt2: Pattern.gpt2
            case .qwen2: Pattern.qwen2
            case .llama3: Pattern.llama3
            }
        }
    }

    /// The smallest vocabulary: the bytes.
    package static let vocabularyMin = 256
    /// Most vocabulary that is learned here.
    package static let vocabularyMax = 1_000_000
    /// Longest word that takes part, in bytes: longer ones are nobody's words.
    package static let wordBytesMax = 1 << 16
    /// Most different words, for they are held in memory.
    package static let wordsMax = 100_000_000

    private let split: Split
    private let pattern: Pattern
    private var effort = Pattern.Effort()
    /// Each different word, and how often it came.
    private var words = ByteTable(capacity: 1 << 16)
    private var counts: [Int] = []
    /// Words whose slots in the table too many others wanted.
    private var crowded: [[UInt8]: Int] = [:]

    package init(split: Split) throws(StorageError) {
        self.split = split
        do throws(PatternError) {
            pattern = try Pattern(split.pattern)
        } catch {
            throw StorageError(.unsupported, "the pattern \(split.rawValue)", cause: error)
        }
    }

    /// Counts the words of `text`, one document, which must be UTF-8.
    ///
    /// Throws `unsupported` beyond the limits.
    package mutating func add(_ text: [UInt8]) throws(StorageError) {
        var text = text
        if split != .gpt2, !Composition.isComposed(text) { text = Composition.composed(text) }
        effort.restart(byteCount: text.count)
        var position = 0
        while position < text.count {
            // The patterns take every scalar, so matches follow one upon another.
            guard
                let word = pattern.firstMatch(in: text, position..<text.count, &effort)
            else { break }
            if word.count <= Self.wordBytesMax { count(text, word) }
            position = word.upperBound
        }
        guard !effort.isExhausted else {
            throw StorageError(.unsupported, "a text through which no words are found")
        }
        guard counts.count + crowded.count <= Self.wordsMax else {
            throw StorageError(
                .unsupported, "the text has more than \(Self.wordsMax) different words; give less")
        }
    }

    private mutating func count(_ text: [UInt8], _ word: Range<Int>) {
        let hash = ByteTable.hash(text, word)
        if let number = words.number(of: text, word, hash: hash) {
            counts[number] += 1
        } else if words.insert(text, word, hash: hash) {
            counts.append(1)
        } else {
            crowded[Array(text[word]), default: 0] += 1
        }
    }

    /// What was learned, as files.
    package struct Result: Sendable {
        /// Contents of `tokenizer.json` and `tokenizer_config.json`.
        package let fileBytes: [UInt8]
        package let configurationFileBytes: [UInt8]
        /// Tokens, special ones included: fewer than wanted where no pair is left.
        package let vocabularySize: Int
        package let merges: Int
        /// Different words that were counted.
        package let words: Int
    }

    /// Learns a vocabulary of `vocabularySize` tokens, of which `special` are the first.
    ///
    /// The first of `special` ends documents, the second, if there is one, fills up. Throws
    /// `unsupported` for a size or special tokens that can't be.
    package func train(
        vocabularySize: Int, special: [String],
        progress: (_ merges: Int) -> Void = { _ in }
    ) throws(StorageError) -> Result {
        let least = Self.vocabularyMin + special.count
        guard (least...Self.vocabularyMax).contains(vocabularySize) else {
            throw StorageError(
                .unsupported,
                "a vocabulary of \(vocabularySize): \(least) to \(Self.vocabularyMax) is allowed")
        }
        let names = Set(special.map { Array($0.utf8) })
        let letters = (UInt8.min...UInt8.max).map {
            Array(String(ByteAlphabet.symbol(of: $0)).utf8)
        }
        guard names.count == special.count, names.isDisjoint(with: letters),
            names.allSatisfy({ (1...Tokenizer.tokenBytesMax).contains($0.count) })
        else {
            throw StorageError(
                .unsupported, "special tokens that are empty, given twice or one byte alone")
        }
        var learner = MergeLearner(special: special)
        for number in 0..<counts.count { learner.add(words[number], count: counts[number]) }
        let rest = crowded.sorted { $0.key.lexicographicallyPrecedes($1.key) }
        for (word, count) in rest { learner.add(word[...], count: count) }
        learner.learn(vocabularySize: vocabularySize, progress: progress)
        return result(learner, special)
    }

    private func result(_ learner: MergeLearner, _ special: [String]) -> Result {
        func text(_ token: Int32) -> String {
            String(decoding: learner.spellings[Int(token)], as: UTF8.self)
        }
        let byteLevel: JSON = [
            "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
            "use_regex": .bool(split == .gpt2),
        ]
        let cut: JSON = [
            "type": "Split", "pattern": ["Regex": .string(split.pattern)],
            "behavior": "Isolated", "invert": false,
        ]
        let splitter: JSON =
            split == .gpt2
            ? byteLevel : ["type": "Sequence", "pretokenizers": [cut, byteLevel]]
        let document = TokenizerFile.document(
            addedTokens: special.enumerated().map { ($0.element, $0.offset) },
            normalizer: split == .gpt2 ? nil : ["type": "NFC"],
            splitter: splitter, decoder: byteLevel,
            vocabulary: learner.spellings.indices.map {
                JSON.Member(name: text(Int32($0)), value: .integer($0))
            },
            merges: learner.merges.map {
                [.string(text($0.left)), .string(text($0.right))]
            })
        let configuration = TokenizerFile.configuration(
            contextLength: nil, end: special.first, padding: special.dropFirst().first)
        return Result(
            fileBytes: document.encoded(indented: true),
            configurationFileBytes: configuration.encoded(indented: true),
            vocabularySize: learner.spellings.count, merges: learner.merges.count,
            words: counts.count + crowded.count)
    }
}
