import Storage

/// Token ids that a user gives: sequences of equal length.
struct TokenRows: Equatable {
    /// Tokens of all sequences, at most: what they make of a model must fit in memory.
    static let tokensMax = 1 << 14

    /// Of all sequences, one behind the other.
    let tokens: [Int32]
    let rows: Int

    /// Tokens of each sequence.
    var length: Int { tokens.count / rows }

    /// Reads the JSON file at `path`: an array of ids, or an array of such arrays of equal length.
    ///
    /// Every id is below `vocabulary`, and every sequence has from 2 (the loss is of the next
    /// token) to `lengthMax` tokens. Throws `CommandError` or `StorageError`.
    init(path: String, vocabulary: Int, lengthMax: Int) throws {
        let json = try JSON(file: path)
        guard let elements = json.array else {
            throw CommandError(
                .badData, "\(path): allowed is an array of token ids, or of arrays of them")
        }
        let isNested = elements.contains { $0.array != nil }
        let rows = isNested ? elements : [json]
        var tokens: [Int32] = []
        for (index, row) in rows.enumerated() {
            let place = isNested ? "\(path): sequence \(index)" : path
            let count = row.array?.count ?? 0
            guard count >= 2 else {
                throw CommandError(.badData, "\(place) has \(count) tokens; at least 2 are needed")
            }
            guard count <= lengthMax else {
                throw CommandError(
                    .badData,
                    "\(place) has \(count) tokens; the model takes \(lengthMax)"
                        + " (max_position_embeddings)")
            }
            if let length = rows[0].array?.count, count != length {
                throw CommandError(
                    .badData,
                    "\(place) has \(count) tokens and sequence 0 has \(length); all must be"
                        + " equally long")
            }
            guard tokens.count + count <= Self.tokensMax else {
                throw CommandError(.badData, "\(path) has more than \(Self.tokensMax) tokens")
            }
            for (position, element) in (row.array ?? []).enumerated() {
                guard let id = element.integer, (0..<vocabulary).contains(id) else {
                    throw CommandError(
                        .badData,
                        "\(place), token \(position): allowed is an id from 0 to \(vocabulary - 1)"
                    )
                }
                tokens.append(Int32(id))
            }
        }
        self.tokens = tokens
        self.rows = rows.count
    }
}
