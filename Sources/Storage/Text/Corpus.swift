/// The text of a run as two streams of tokens: one to train on, and one that is never trained on.
package struct Corpus: Sendable {
    /// Share of the text that is held out unless told otherwise.
    package static let heldOutFractionDefault = 0.05
    /// With fewer documents, the end of each is held out instead of whole documents.
    package static let documentsForWholeHoldOut = 20

    /// Documents one behind the other, each ended by ``ByteTokenizer/endOfText``.
    package let train: [UInt16]
    /// The same for what is held out.
    ///
    /// No document is in both as a whole.
    package let heldOut: [UInt16]
    /// The same for the same streams of tokens, whatever machine they were read on.
    package let fingerprint: UInt64
    /// What was taken and what was left out.
    package let report: CorpusReport

    /// Reads all text at `paths`, files or folders.
    ///
    /// The same files give the same corpus.
    ///
    /// Throws `missing` where there is nothing, or no text; `unreadable`; `unsupported` beyond the
    /// limits.
    package static func load(
        paths: [String], heldOutFraction: Double = heldOutFractionDefault,
        limits: CorpusLimits = CorpusLimits()
    ) throws(StorageError) -> Corpus {
        let walk = try CorpusWalk.take(paths, limits: limits)
        return Corpus(
            documents: walk.documents, skipped: walk.skipped, heldOutFraction: heldOutFraction)
    }

    /// Splits `documents`, which must hold something.
    package init(
        documents: [CorpusDocument], skipped: [(path: String, reason: CorpusSkip)] = [],
        heldOutFraction: Double = heldOutFractionDefault
    ) {
        precondition(heldOutFraction > 0 && heldOutFraction < 1, "a fraction between 0 and 1")
        let split = CorpusSplit(documents: documents, heldOutFraction: heldOutFraction)
        var train: [UInt16] = []
        var heldOut: [UInt16] = []
        let trainBytes = split.cuts.reduce(0, +)
        let heldOutBytes = documents.reduce(0) { $0 + $1.bytes.count } - trainBytes
        train.reserveCapacity(trainBytes + documents.count)
        heldOut.reserveCapacity(heldOutBytes + documents.count)
        for (document, cut) in zip(documents, split.cuts) {
            Self.append(document.bytes[..<cut], to: &train)
            Self.append(document.bytes[cut...], to: &heldOut)
        }
        self.train = train
        self.heldOut = heldOut
        fingerprint = Self.fingerprint(train, heldOut)
        report = CorpusReport(
            documents: documents.count,
            heldOutDocuments: split.isWhole ? split.cuts.count { $0 == 0 } : 0,
            bytes: documents.reduce(0) { $0 + $1.bytes.count },
            trainTokens: train.count, heldOutTokens: heldOut.count, skipped: skipped)
    }

    private static func append(_ text: ArraySlice<UInt8>, to tokens: inout [UInt16]) {
        guard !text.isEmpty else { return }
        for byte in text { tokens.append(UInt16(byte)) }
        tokens.append(UInt16(ByteTokenizer.endOfText))
    }

    /// The same for the same streams of tokens.
    static func fingerprint<Token: BitwiseCopyable>(
        _ train: [Token], _ heldOut: [Token]
    ) -> UInt64 {
        var hash = StableHash()
        for stream in [train, heldOut] {
            var checksum = Checksum()
            unsafe checksum.update(stream.span.bytes)
            hash.update(UInt64(stream.count))
            hash.update(UInt64(checksum.value))
        }
        return hash.value
    }
}

/// What became of the files that a corpus was looked for in.
package struct CorpusReport: Sendable {
    /// Documents taken.
    package let documents: Int
    /// Documents held out as a whole; 0 where the end of each is held out instead.
    package let heldOutDocuments: Int
    /// Bytes of text taken.
    package let bytes: Int
    package let trainTokens: Int
    package let heldOutTokens: Int
    /// Files and folders left out, and why.
    package let skipped: [(path: String, reason: CorpusSkip)]
}

/// FNV-1a, 64 bits: the same everywhere and always, as `Hasher` is not.
struct StableHash {
    private(set) var value: UInt64 = 0xcbf2_9ce4_8422_2325

    mutating func update(_ byte: UInt8) { value = (value ^ UInt64(byte)) &* 0x100_0000_01b3 }

    mutating func update(_ number: UInt64) {
        for shift in stride(from: 0, to: 64, by: 8) {
            update(UInt8(truncatingIfNeeded: number >> shift))
        }
    }

    static func of(_ text: String) -> UInt64 {
        var hash = StableHash()
        for byte in text.utf8 { hash.update(byte) }
        // The last bytes hardly reach the high bits of an FNV hash, by which names are ordered.
        return SplitMix.mix(hash.value)
    }
}
