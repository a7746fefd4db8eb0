/// A worker's own verdict on each of its updates, from one detector per module, or from one for all
/// of them with weighting `dips`.
///
/// Judging moves the detectors, so it happens once per round; whoever asks again, because a push
/// was cut off, gets the same verdicts.
package struct UpdateJudge: Sendable, Equatable, Codable {
    private let judgesWhole: Bool
    private var detectors: [NormDetector]
    private var judged: (round: Int, verdicts: [Verdict])?

    /// For a worker in a run of `modules` modules; without `isOn` nothing is ever flagged.
    package init(_ settings: RunSettings, modules: Int) {
        judgesWhole = settings.rounds.weighting == .dips
        let count = settings.penalty.detectsAnomalies ? (judgesWhole ? 1 : modules) : 0
        detectors = Array(repeating: NormDetector(settings.penalty.detector), count: count)
    }

    /// What `round`'s updates of these `norms`, by module, are after `steps` inner steps.
    package mutating func verdicts(round: Int, norms: [Double], steps: Int) -> [Verdict] {
        if let judged, judged.round == round { return judged.verdicts }
        let verdicts = judge(norms, steps)
        judged = (round, verdicts)
        return verdicts
    }

    private mutating func judge(_ norms: [Double], _ steps: Int) -> [Verdict] {
        guard steps > 0 else { return norms.map { _ in .empty } }
        guard !detectors.isEmpty else { return norms.map { _ in .sound } }
        if judgesWhole {
            let sample = NormDetector.sample(norm: Penalty.norm(ofModules: norms), steps: steps)
            let verdict: Verdict = detectors[0].judge(sample) ? .anomaly : .sound
            return norms.map { _ in verdict }
        }
        return norms.indices.map { module in
            let sample = NormDetector.sample(norm: norms[module], steps: steps)
            return detectors[module].judge(sample) ? .anomaly : .sound
        }
    }

    /// Whether state like this belongs to a run with the settings of `other`.
    package func fits(_ other: UpdateJudge) -> Bool {
        judgesWhole == other.judgesWhole
            && detectors.map(\.settings) == other.detectors.map(\.settings)
    }

    // The verdicts of the round under way are not kept: who starts again has no such round.
    private enum CodingKeys: String, CodingKey { case judgesWhole, detectors }

    package static func == (left: UpdateJudge, right: UpdateJudge) -> Bool {
        left.judgesWhole == right.judgesWhole && left.detectors == right.detectors
    }
}

/// What a worker says of its own update.
package enum Verdict: String, Sendable, Codable, CaseIterable {
    case sound
    /// Out of line with its past; the update is not sent.
    case anomaly
    /// No step was taken; there is no update.
    case empty
}
