/// A run's endless stream of training sequences, by number, and the finite one of held-out
/// sequences.
///
/// A stream of n tokens has (n - 1) / T windows of T + 1 tokens; window i starts at i * T, so each
/// token is predicted once an epoch. Sequence s is in epoch s / windows; each epoch goes through
/// all windows in an order of its own. Any worker finds any sequence alone from its number.
package struct TokenSource: Sendable {
    private let train: TokenStream
    private let heldOut: TokenStream
    /// T: tokens predicted per sequence.
    package let sequenceLength: Int
    package let seed: UInt64
    /// Training sequences per epoch.
    package let windowCount: Int
    /// Held-out sequences.
    package let heldOutCount: Int
    /// The same for the same tokens in the same sequences.
    package let fingerprint: UInt64

    /// Cuts `corpus` into sequences.
    ///
    /// Throws `mismatch` where either side is too short for one.
    package init(
        corpus: Corpus, sequenceLength: Int, seed: UInt64
    ) throws(StorageError) {
        try self.init(
            train: .memory(corpus.train), heldOut: .memory(corpus.heldOut),
            fingerprint: corpus.fingerprint, sequenceLength: sequenceLength, seed: seed)
    }

    /// Cuts `corpus` into sequences.
    ///
    /// Throws `mismatch` where either side is too short for one.
    package init(
        corpus: PreparedCorpus, sequenceLength: Int, seed: UInt64
    ) throws(StorageError) {
        try self.init(
            train: .shards(corpus.train), heldOut: .shards(corpus.heldOut),
            fingerprint: corpus.fingerprint, sequenceLength: sequenceLength, seed: seed)
    }

    /// Cuts `corpus` into sequences.
    ///
    /// Throws `mismatch` where either side is too short for one.
    package init(
        corpus: EncodedCorpus, sequenceLength: Int, seed: UInt64
    ) throws(StorageError) {
        try self.init(
            train: .encoded(corpus.train), heldOut: .encoded(corpus.heldOut),
            fingerprint: corpus.fingerprint, sequenceLength: sequenceLength, seed: seed)
    }

    private init(
        train: TokenStream, heldOut: TokenStream, fingerprint: UInt64, sequenceLength: Int,
        seed: UInt64
    ) throws(StorageError) {
        precondition(sequenceLength > 0, "a sequence has at least one token to predict")
        for (name, stream) in [("training", train), ("held-out", heldOut)] {
            guard stream.count > sequenceLength else {
                throw StorageError(
                    .mismatch,
                    "the corpus is too small: \(stream.count) \(name) tokens, and one sequence of"
                        + " length \(sequenceLength) needs \(sequenceLength + 1); give more text or"
                        + " choose shorter sequences")
            }
        }
        self.train = train
        self.heldOut = heldOut
        self.sequenceLength = sequenceLength
        self.seed = seed
        windowCount = (train.count - 1) / sequenceLength
        heldOutCount = (heldOut.count - 1) / sequenceLength
        var hash = StableHash()
        for part in [fingerprint, UInt64(sequenceLength), seed] { hash.update(part) }
        self.fingerprint = hash.value
    }

    /// Tokens of the training sequences `numbers`, [count, T + 1] row-major.
    package func sequences(_ numbers: Range<UInt64>) -> [Int32] {
        var tokens: [Int32] = []
        tokens.reserveCapacity(numbers.count * (sequenceLength + 1))
        for number in numbers { append(window(of: number), of: train, to: &tokens) }
        return tokens
    }

    /// Tokens of the held-out sequences `numbers`, within `0..<heldOutCount`, [count, T + 1]
    /// row-major, in the order of the text.
    package func heldOutSequences(_ numbers: Range<Int>) -> [Int32] {
        precondition(
            numbers.lowerBound >= 0 && numbers.upperBound <= heldOutCount,
            "\(numbers) outside 0..<\(heldOutCount)")
        var tokens: [Int32] = []
        tokens.reserveCapacity(numbers.count * (sequenceLength + 1))
        for number in numbers { append(number, of: heldOut, to: &tokens) }
        return tokens
    }

    /// The window that is training sequence `number`.
    package func window(of number: UInt64) -> Int {
        let (epoch, index) = number.quotientAndRemainder(dividingBy: UInt64(windowCount))
        let order = WindowPermutation(
            count: UInt64(windowCount), key: SplitMix.mix(seed ^ SplitMix.mix(epoch)))
        return Int(order[index])
    }

    private func append(_ window: Int, of stream: TokenStream, to tokens: inout [Int32]) {
        let start = window * sequenceLength
        stream.append(start..<start + sequenceLength + 1, to: &tokens)
    }
}
