/// A worker's own verdict on each of its updates, from one detector per module, or from one for all
/// of them with weighting `dips`; ``VerdictScope`` says what flagged modules mean for the others.
///
/// Judging moves the detectors, so it happens once per round; whoever asks again, because a push
/// was cut off, gets the same verdicts.
package struct UpdateJudge: Sendable, Equatable {
    /// The share of flagged modules above which all are, where verdicts are for the worker.
    package static let flaggedShareMax = 0.2

    private let judgesWhole: Bool
    private let scope: VerdictScope
    package private(set) var detectors: [NormDetector]
    private var judged: (round: Int, verdicts: [Verdict])?

    /// For a worker in a run of `modules` modules; without `isOn` nothing is ever flagged.
    package init(_ settings: RunSettings, modules: Int) {
        judgesWhole = settings.rounds.weighting == .dips
        scope = settings.penalty.verdict
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
        let before = detectors
        let flagged = norms.indices.filter { module in
            detectors[module].judge(NormDetector.sample(norm: norms[module], steps: steps))
        }
        let share = Double(flagged.count) / Double(norms.count)
        guard scope == .worker, share > UpdateJudge.flaggedShareMax else {
            return norms.indices.map { flagged.contains($0) ? .anomaly : .sound }
        }
        // What is not sent is not taken in either, however usual it looks by itself.
        for module in norms.indices where !flagged.contains(module) {
            detectors[module] = before[module]
        }
        return norms.map { _ in .anomaly }
    }

    /// Whether state like this belongs to a run with the settings of `other`.
    package func fits(_ other: UpdateJudge) -> Bool {
        judgesWhole == other.judgesWhole && scope == other.scope
            && detectors.map(\.settings) == other.detectors.map(\.settings)
    }

    package static func == (left: UpdateJudge, right: UpdateJudge) -> Bool {
        left.fits(right) && left.detectors == right.detectors
    }
}

extension UpdateJudge: Codable {
    // The verdicts of the round under way are not kept: who starts again has no such round.
    private enum CodingKeys: String, CodingKey { case judgesWhole, scope, detectors }

    package init(from decoder: any Decoder) throws {
        let fields = try decoder.container(keyedBy: CodingKeys.self)
        judgesWhole = try fields.decode(Bool.self, forKey: .judgesWhole)
        // Absent in files of earlier builds, whose verdicts were for modules.
        scope = try fields.decodeIfPresent(VerdictScope.self, forKey: .scope) ?? .module
        detectors = try fields.decode([NormDetector].self, forKey: .detectors)
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
