/// Decides what of a corpus is held out: whole documents, or where there are too few of them, the
/// end of each.
struct CorpusSplit {
    /// For each document, where its held-out part starts: 0 for all of it, its length for nothing.
    let cuts: [Int]
    /// Whether documents are held out as a whole.
    let isWhole: Bool

    /// Splits `documents` so that at most about `heldOutFraction` of the bytes are held out.
    init(documents: [CorpusDocument], heldOutFraction: Double) {
        let total = documents.reduce(0) { $0 + $1.bytes.count }
        let budget = Double(total) * heldOutFraction
        let held = Self.wholeDocuments(documents, budget: budget)
        let heldBytes = held.reduce(0) { $0 + documents[$1].bytes.count }
        // Few documents, or large ones, may leave much of the budget unused.
        isWhole =
            documents.count >= Corpus.documentsForWholeHoldOut && Double(heldBytes) >= budget / 2
        if isWhole {
            cuts = documents.indices.map { held.contains($0) ? 0 : documents[$0].bytes.count }
        } else {
            cuts = documents.map { Self.tailStart($0.bytes, fraction: heldOutFraction) }
        }
    }

    /// Takes documents in the order of their names' hashes, each that still fits: a choice that
    /// does not depend on the order of folders or on the contents of other documents.
    private static func wholeDocuments(
        _ documents: [CorpusDocument], budget: Double
    ) -> Set<Int> {
        let order = documents.indices
            .map { (hash: StableHash.of(documents[$0].name), index: $0) }
            .sorted { ($0.hash, $0.index) < ($1.hash, $1.index) }
        var held: Set<Int> = []
        var rest = budget
        for (_, index) in order where Double(documents[index].bytes.count) <= rest {
            held.insert(index)
            rest -= Double(documents[index].bytes.count)
        }
        return held
    }

    /// Where the last `fraction` of `bytes` starts, moved on to the start of a character.
    static func tailStart(_ bytes: [UInt8], fraction: Double) -> Int {
        var start = bytes.count - Int((Double(bytes.count) * fraction).rounded())
        while start < bytes.count, bytes[start] & 0xc0 == 0x80 { start += 1 }
        return start
    }
}
