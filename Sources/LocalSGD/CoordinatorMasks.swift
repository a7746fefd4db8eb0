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

    /// Takes note of what masks left in `round`, as workers have told it, now or before the run's
    /// last checkpoint.
    mutating func noteMasks(ofRound round: Int) {
        let ahead = history.masksAhead
        if let ahead, ahead.round <= round { history.masksAhead = nil }
        if let ahead, ahead.round == round {
            if !ahead.layers.isEmpty { noteMasks(ahead.layers) }
        } else if let told = maskShares(ofRound: round) {
            noteMasks(told)
        }
    }

    /// What masks left in `round` by all reports of it that are here, in the order of workers'
    /// names, so that the same reports give the same bits; nothing if there are none.
    func maskShares(ofRound round: Int) -> [MaskShare]? {
        maskShares(reports[round]?.sorted { $0.key < $1.key }.map(\.value) ?? [])
    }

    /// What masks left by the reports `told`, layer by layer.
    ///
    /// What is told of another number of layers than the model has counts for nothing.
    func maskShares(_ told: [RoundReport]) -> [MaskShare]? {
        guard settings.masks.isOn, let layers = maskLayers ?? told.map(\.masks.count).max(),
            layers > 0
        else { return nil }
        let told = told.filter { $0.masks.count == layers }
        guard !told.isEmpty else { return nil }
        var tallies = [MaskTally](repeating: MaskTally(), count: layers)
        for report in told {
            for layer in 0..<layers { tallies[layer] += report.masks[layer] }
        }
        return tallies.map(MaskShare.init)
    }

    /// Takes note of what masks left of each layer in a round, or in `share` of one, and steers the
    /// regulariser's factor by it.
    mutating func noteMasks(_ shares: [MaskShare], share: Double = 1) {
        guard settings.masks.isOn else { return }
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
