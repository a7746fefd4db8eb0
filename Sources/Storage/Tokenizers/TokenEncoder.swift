/// Encodes one text after the other, and remembers the words that it met.
///
/// One for each thread.
package struct TokenEncoder: Sendable {
    /// Most words that are remembered; then all are forgotten.
    package static let cachedWordsMax = 1 << 16
    /// Longest word that is remembered, in bytes.
    package static let cachedWordBytesMax = 48

    private let tokenizer: Tokenizer
    private var ids: [Int32] = []
    private var merger = BytePairMerger()
    private var efforts: [Pattern.Effort]
    private var failure: StorageError?
    /// Words that were encoded before, and the tokens of word n from `cachedStarts[n]` on.
    private var cache = ByteTable(capacity: TokenEncoder.cachedWordsMax)
    private var cachedIDs: [Int32] = []
    private var cachedStarts: [Int] = [0]

    package init(_ tokenizer: Tokenizer) {
        self.tokenizer = tokenizer
        efforts = Array(repeating: Pattern.Effort(), count: tokenizer.parts.splitter.count)
    }

    /// The ids of `text`, which must be UTF-8; see
    /// ``Tokenizer/encode(_:recognizingSpecialTokens:addingTemplate:)``.
    package mutating func encode(
        _ text: [UInt8], recognizingSpecialTokens: Bool = false
    ) throws(StorageError) -> [Int32] {
        ids.removeAll(keepingCapacity: true)
        failure = nil
        // For all pieces together: many short ones get no more than one long one.
        for step in efforts.indices { efforts[step].restart(byteCount: text.count) }
        let pieces = tokenizer.rawFinder.pieces(
            of: text, 0..<text.count, recognizingSpecial: recognizingSpecialTokens)
        for piece in pieces {
            if let id = piece.id {
                ids.append(id)
            } else {
                encode(
                    text, between: piece.range, recognizingSpecial: recognizingSpecialTokens)
            }
        }
        if let failure { throw failure }
        return ids
    }

    /// Encodes what lies between tokens that are found in the raw text.
    private mutating func encode(
        _ text: [UInt8], between range: Range<Int>, recognizingSpecial: Bool
    ) {
        let isAtStart = range.lowerBound == 0
        guard !(tokenizer.parts.normalizer.isEmpty && tokenizer.normalizedFinder.isEmpty) else {
            return split(text, range, from: 0, isAtStart: isAtStart)
        }
        var normalized = range.count == text.count ? text : Array(text[range])
        for step in tokenizer.parts.normalizer { step.apply(to: &normalized) }
        let pieces = tokenizer.normalizedFinder.pieces(
            of: normalized, 0..<normalized.count, recognizingSpecial: recognizingSpecial)
        for piece in pieces {
            if let id = piece.id {
                ids.append(id)
            } else {
                split(
                    normalized, piece.range, from: 0,
                    isAtStart: isAtStart && piece.range.lowerBound == 0)
            }
        }
    }

    // MARK: Splitting

    /// Cuts `range` by the steps from number `step` on, and encodes each piece.
    private mutating func split(
        _ text: [UInt8], _ range: Range<Int>, from step: Int, isAtStart: Bool
    ) {
        guard !range.isEmpty, failure == nil else { return }
        guard step < tokenizer.parts.splitter.count else { return encodeWord(text, range) }
        switch tokenizer.parts.splitter[step] {
        case .pattern(let pattern, let behavior, let isInverted):
            split(text, range, at: pattern, behavior, isInverted, step)
        case .spacePrefix:
            let space = UInt8(ascii: " ")
            guard text[range.lowerBound] != space else {
                return split(text, range, from: step + 1, isAtStart: isAtStart)
            }
            let longer = [space] + text[range]
            split(longer, 0..<longer.count, from: step + 1, isAtStart: isAtStart)
        case .metaspace(let replacement, let scheme, let cuts):
            var spelled = Array(text[range]).replacing([UInt8(ascii: " ")], by: replacement)
            let wantsPrefix = scheme == .always || scheme == .first && isAtStart
            if wantsPrefix, !spelled.starts(with: replacement) {
                spelled.insert(contentsOf: replacement, at: 0)
            }
            guard let cuts else {
                return split(spelled, 0..<spelled.count, from: step + 1, isAtStart: isAtStart)
            }
            split(spelled, 0..<spelled.count, at: cuts, .mergedWithNext, false, step)
        }
    }

    private mutating func split(
        _ text: [UInt8], _ range: Range<Int>, at pattern: Pattern,
        _ behavior: SplitStep.Behavior, _ isInverted: Bool, _ step: Int
    ) {
        var effort = Pattern.Effort()
        swap(&effort, &efforts[step])
        var segments: [Segment] = []
        let isDirect = behavior == .isolated || behavior == .removed
        var position = range.lowerBound
        while position < range.upperBound {
            let match = pattern.firstMatch(in: text, position..<range.upperBound, &effort)
            let found = match ?? range.upperBound..<range.upperBound
            for (part, isMatch) in [
                (position..<found.lowerBound, isInverted), (found, !isInverted),
            ]
            where !part.isEmpty {
                if !isDirect {
                    segments.append(Segment(range: part, isMatch: isMatch))
                } else if behavior == .isolated || !isMatch {
                    split(text, part, from: step + 1, isAtStart: false)
                }
            }
            position = found.upperBound
        }
        if effort.isExhausted { failure = Self.exhausted(pattern) }
        swap(&effort, &efforts[step])
        for piece in behavior.pieces(of: segments) {
            split(text, piece, from: step + 1, isAtStart: false)
        }
    }

    private static func exhausted(_ pattern: Pattern) -> StorageError {
        StorageError(
            .unsupported,
            "the pattern \"\(pattern.source)\" of the tokenizer takes more than"
                + " \(Pattern.stepsPerByteMax) steps a byte for a text; it is given up")
    }

    // MARK: Words

    private mutating func encodeWord(_ text: [UInt8], _ range: Range<Int>) {
        guard range.count <= Self.cachedWordBytesMax else { return encodeNewWord(text, range) }
        let hash = ByteTable.hash(text, range)
        if let number = cache.number(of: text, range, hash: hash) {
            for index in cachedStarts[number]..<cachedStarts[number + 1] {
                ids.append(cachedIDs[index])
            }
            return
        }
        let start = ids.count
        encodeNewWord(text, range)
        if cache.count == Self.cachedWordsMax {
            cache.removeAll()
            cachedIDs.removeAll(keepingCapacity: true)
            cachedStarts.removeAll(keepingCapacity: true)
            cachedStarts.append(0)
        }
        // A word that collides with too many is encoded anew each time.
        guard cache.insert(text, range, hash: hash) else { return }
        cachedIDs.append(contentsOf: ids[start...])
        cachedStarts.append(cachedIDs.count)
    }

    private mutating func encodeNewWord(_ text: [UInt8], _ range: Range<Int>) {
        let model = tokenizer.parts.model
        if let words = model.words,
            let number = words.number(of: text, range, hash: ByteTable.hash(text, range))
        {
            return ids.append(model.idsOfWords[number])
        }
        merger.symbols.removeAll(keepingCapacity: true)
        if model.isByteLevel {
            appendByteSymbols(text, range, model)
        } else {
            appendScalarSymbols(text, range, model)
        }
        merger.merge(by: model.merges)
        ids.append(contentsOf: merger.symbols)
    }

    private mutating func appendByteSymbols(
        _ text: [UInt8], _ range: Range<Int>, _ model: borrowing BytePairModel
    ) {
        var pending: Int32?
        for index in range {
            let id = model.idOfByte[Int(text[index])]
            append(id, orUnknown: model.unknown, &pending)
        }
        if let pending { merger.symbols.append(pending) }
    }

    private mutating func appendScalarSymbols(
        _ text: [UInt8], _ range: Range<Int>, _ model: borrowing BytePairModel
    ) {
        var pending: Int32?
        var position = range.lowerBound
        while position < range.upperBound {
            let end = min(position + Pattern.scalarLength(text[position]), range.upperBound)
            let scalar = position..<end
            position = end
            var id = model.idOfByte[Int(text[scalar.lowerBound])]
            if scalar.count > 1 {
                let hash = ByteTable.hash(text, scalar)
                id =
                    model.vocabulary.number(of: text, scalar, hash: hash)
                    .map { model.ids[$0] } ?? -1
            }
            if id < 0, let fallback = model.idOfFallbackByte {
                let bytes = text[scalar].map { fallback[Int($0)] }
                // Either all bytes of a scalar are tokens, or none is of use.
                if bytes.allSatisfy({ $0 >= 0 }) {
                    merger.symbols.append(contentsOf: bytes)
                    continue
                }
            }
            append(id, orUnknown: model.unknown, &pending)
        }
        if let pending { merger.symbols.append(pending) }
    }

    /// Appends the symbol `id`; where it is none, the token for the unknown, if there is one.
    ///
    /// That one waits in `pending` for the next symbol that is known, so that it can stand for
    /// several.
    private mutating func append(
        _ id: Int32, orUnknown unknown: (id: Int32, fuses: Bool)?, _ pending: inout Int32?
    ) {
        if id >= 0 {
            if let waiting = pending.take() { merger.symbols.append(waiting) }
            merger.symbols.append(id)
        } else if let unknown {
            if let waiting = pending, !unknown.fuses { merger.symbols.append(waiting) }
            pending = unknown.id
        }
    }
}
