package import Tensors

/// What the coordinator knows, and steers, of masks that are learnt.
extension CoordinatorState {
    /// The factor of the masks' regulariser that is in force: the one that steering has come to,
    /// also in an earlier life of the run, or else the one that is set.
    package var maskCoefficient: Double {
        guard settings.masks.isOn else { return 0 }
        let steered = settings.masks.target > 0 ? history.maskCoefficient : nil
        return steered ?? settings.masks.coefficient
    }

    /// Takes note of what masks left in the reports `told`, which are `share` of a round, and
    /// steers the regulariser's factor by it.
    ///
    /// Sums are over reports in the order given, so the same reports give the same bits. What is
    /// told of another number of layers than the model has counts for nothing.
    mutating func noteMasks(_ told: [RoundReport], share: Double = 1) {
        guard settings.masks.isOn, let layers = maskLayers ?? told.map(\.masks.count).max(),
            layers > 0
        else { return }
        let told = told.filter { $0.masks.count == layers }
        guard !told.isEmpty else { return }
        var tallies = [MaskTally](repeating: MaskTally(), count: layers)
        for report in told {
            for layer in 0..<layers { tallies[layer] += report.masks[layer] }
        }
        let shares = tallies.map(MaskShare.init)
        history.masks = shares
        // Also where it is not steered, so that history says what was in force.
        history.maskCoefficient = maskCoefficient
        guard let active = shares.active, settings.masks.isSteered(atStep: scheduleStep) else {
            return
        }
        history.maskCoefficient = settings.masks.steered(
            maskCoefficient, active: active, share: share)
    }
}

/// What masks leave of a layer's tokens, on average.
package struct MaskShare: Sendable, Equatable, Codable {
    /// Live experts of a token, and the share of tokens that have none.
    package var active: Double
    package var empty: Double

    package init(_ tally: MaskTally) {
        let tokens = Double(max(tally.tokens, 1))
        active = Double(tally.live) / tokens
        empty = Double(tally.empty) / tokens
    }
}

extension [MaskShare] {
    /// Live experts of a token, and the share of tokens that have none, over all layers; nothing
    /// without layers.
    package var active: Double? { mean(\.active) }
    package var empty: Double? { mean(\.empty) }

    private func mean(_ value: (MaskShare) -> Double) -> Double? {
        isEmpty ? nil : reduce(0) { $0 + value($1) } / Double(count)
    }
}
