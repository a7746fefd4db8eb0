/// Encodes the parts of a plan, one after the other: the work of one thread.
struct PartEncoder {
    /// What every worker of a preparation goes by.
    struct Rules: Sendable {
        let tokenizer: Tokenizer
        let endToken: Int32
        let heldOutFraction: Double
        /// The member of a line that holds the text.
        let textKey: String
        let plan: PreparationPlan
    }

    private let rules: Rules
    private var encoder: TokenEncoder
    private var train: TokenShardWriter
    private var heldOut: TokenShardWriter

    init(_ rules: Rules) {
        self.rules = rules
        encoder = TokenEncoder(rules.tokenizer)
        train = TokenShardWriter(vocabularySize: rules.tokenizer.vocabularySize)
        heldOut = train
    }

    /// The tokens of part number `part`; `progress` hears of bytes and tokens as they are done.
    ///
    /// Throws `corrupt` for a line that is no document, `mismatch` for a source that changed since
    /// the plan, `unreadable`, or `unsupported`.
    mutating func encode(
        part: Int, progress: (_ bytes: Int, _ tokens: Int) -> Void
    ) throws(StorageError) -> (train: TokenShardWriter, heldOut: TokenShardWriter) {
        train = TokenShardWriter(vocabularySize: rules.tokenizer.vocabularySize)
        heldOut = train
        for slice in rules.plan.parts[part] {
            let before = train.tokens.count + heldOut.tokens.count
            let source = rules.plan.sources[slice.source]
            if source.isLines {
                try encodeLines(slice, of: source)
            } else {
                try encodeText(source)
            }
            progress(slice.range.count, train.tokens.count + heldOut.tokens.count - before)
        }
        return (train, heldOut)
    }

    private mutating func encodeText(_ source: PreparationPlan.Source) throws(StorageError) {
        let file = try File.open(source.path)
        let bytes =
            try file.byteCount() == source.byteCount
            ? try file.read(at: 0, count: source.byteCount) : []
        guard Checksum.of(bytes) == source.checksum else { throw Self.changed(source) }
        try add(bytes, "\(source.path)")
    }

    private static func changed(_ source: PreparationPlan.Source) -> StorageError {
        StorageError(.mismatch, "\(source.path) changed while it was read; begin again")
    }

    private mutating func encodeLines(
        _ slice: PreparationPlan.Slice, of source: PreparationPlan.Source
    ) throws(StorageError) {
        let file = try File.open(source.path)
        guard try file.byteCount() == source.byteCount else { throw Self.changed(source) }
        let bytes = try file.read(at: slice.range.lowerBound, count: slice.range.count)
        var number = slice.firstLine
        for line in bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
            let place = "line \(number) of \(source.path)"
            if !DocumentLines.isBlank(line) {
                let text = try DocumentLines.text(of: line, key: rules.textKey, place)
                if !text.isEmpty { try add(text, place) }
            }
            number += 1
        }
    }

    /// Takes one document into the shards.
    private mutating func add(_ text: [UInt8], _ place: String) throws(StorageError) {
        guard rules.plan.holdsOutWholeDocuments || rules.heldOutFraction == 0 else {
            let cut = CorpusSplit.tailStart(text, fraction: rules.heldOutFraction)
            try Self.append(text[..<cut], to: &train, &encoder, rules, place)
            return try Self.append(text[cut...], to: &heldOut, &encoder, rules, place)
        }
        if isHeldOut(text) {
            try Self.append(text[...], to: &heldOut, &encoder, rules, place)
        } else {
            try Self.append(text[...], to: &train, &encoder, rules, place)
        }
    }

    /// By the document's own bytes: wherever it stands, it is on the same side.
    private func isHeldOut(_ text: [UInt8]) -> Bool {
        var hash = StableHash()
        for byte in text { hash.update(byte) }
        let share = Double(SplitMix.mix(hash.value) >> 11) / Double(1 << 53 as UInt64)
        return share < rules.heldOutFraction
    }

    private static func append(
        _ text: ArraySlice<UInt8>, to shard: inout TokenShardWriter,
        _ encoder: inout TokenEncoder, _ rules: Rules, _ place: String
    ) throws(StorageError) {
        guard !text.isEmpty else { return }
        let ids: [Int32]
        do throws(StorageError) {
            ids = try encoder.encode(Array(text))
        } catch {
            throw StorageError(error.code, "\(place): \(error.message)", cause: error.cause)
        }
        guard shard.fits(ids.count + 1) else {
            throw StorageError(
                .unsupported,
                "a shard of more than \(TokenShardHeader.tokensMax) tokens, with \(place)")
        }
        shard.append(ids, end: rules.endToken)
    }
}
