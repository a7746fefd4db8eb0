internal import LocalSGD

/// Tokens of sequences that a worker will train on next, fetched together.
struct FetchedTokens: Sendable {
    /// Batches fetched at a time.
    static let batches = 16

    private var sequences: ArraySlice<UInt64> = []
    private var tokens: ArraySlice<Int32> = []
    private var width = 0

    init() {}

    /// `tokens` are those of all sequences of `lease`, one behind the other.
    init(_ lease: Lease, _ tokens: [Int32]) {
        sequences = lease.sequences[...]
        self.tokens = tokens[...]
        width = sequences.isEmpty ? 0 : tokens.count / sequences.count
    }

    var isEmpty: Bool { sequences.isEmpty }

    /// The tokens of `lease`, if they come next; they are gone from here then.
    mutating func take(_ lease: Lease) -> [Int32]? {
        let wanted = lease.sequences
        guard !wanted.isEmpty, sequences.prefix(wanted.count).elementsEqual(wanted) else {
            return nil
        }
        defer {
            sequences.removeFirst(wanted.count)
            tokens.removeFirst(wanted.count * width)
        }
        return Array(tokens.prefix(wanted.count * width))
    }
}
