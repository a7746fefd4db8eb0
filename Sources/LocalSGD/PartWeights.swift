/// The weights of a round's contributions for each part of a module.
package struct PartWeights: Sendable, Equatable {
    /// In the order of the shares; they sum to 1, or are all 0.
    package let dense: [Double]
    /// The same for each expert.
    package let experts: [[Double]]

    /// The weights of `part`, in the order of the shares.
    ///
    /// All of them are 0 for a part that nobody's counted tokens reached: it stays as it is,
    /// momentum included. So do all parts in a rollback.
    package subscript(part: ModulePart) -> [Double] {
        part.expert.map { experts[$0] } ?? dense
    }

    /// Whether anything changes in `part`.
    package func isTouched(_ part: ModulePart) -> Bool { self[part].contains { $0 > 0 } }
}

extension Penalty {
    /// Weights for every part of a module of `experts` experts; the dense part's are those of
    /// ``weights(of:by:temperature:)``.
    ///
    /// `tokens` says for each share how many tokens each expert saw there. An expert's weights are
    /// in proportion to these times the same factor for the norm as in the dense part, and alike
    /// for `uniform` among those that saw any. Whoever weighs nothing in the dense part weighs
    /// nothing here, and what is missing in `tokens`, or negative, counts as 0.
    package static func weights(
        of shares: [Share], tokens: [[Int]], experts: Int, by weighting: Weighting,
        temperature: Double? = nil, stepWeight: Double = 0
    ) -> PartWeights {
        precondition(tokens.count == shares.count, "\(tokens.count) counts for \(shares.count)")
        return PartWeights(
            dense: weights(
                of: shares, by: weighting, temperature: temperature, stepWeight: stepWeight),
            experts: (0..<experts).map { expert in
                let amounts = tokens.map { counts -> Double in
                    guard expert < counts.count, counts[expert] > 0 else { return 0 }
                    return weighting == .uniform ? 1 : Double(counts[expert])
                }
                return weights(of: shares, amounts: amounts, by: weighting, temperature, stepWeight)
            })
    }
}
