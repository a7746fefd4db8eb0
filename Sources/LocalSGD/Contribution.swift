/// What a worker says about an update that it pushes, and what a shard server answers.

/// Names one push for ever.
///
/// The same key always stands for the same bytes, so a push may be repeated any number of times.
package struct PushKey: Hashable, Sendable {
    package let worker: String
    /// Differs between two lives of a process with the same name.
    package let incarnation: UInt64
    /// Index of the module.
    package let module: Int
    /// Grows with every new push of this worker; in barrier mode it is the round.
    package let sequence: UInt64

    package init(worker: String, incarnation: UInt64, module: Int, sequence: UInt64) {
        self.worker = worker
        self.incarnation = incarnation
        self.module = module
        self.sequence = sequence
    }
}

/// The header of a push; the encoded update travels beside it.
package struct Contribution: Sendable, Equatable {
    package let key: PushKey
    package let round: Int
    package let kind: RoundKind
    /// Version of the module that the update starts from.
    package let baseVersion: UInt64
    /// Inner steps behind the update.
    package let steps: Int
    /// Tokens behind the update.
    package let tokens: Int
    /// L2 norm of the update before encoding.
    package let norm: Double
    /// Name of the codec.
    package let codec: String
    /// Nothing travels beside the header unless this is `sound`.
    package let verdict: Verdict
    /// For a layer with experts, the tokens that each of them saw; otherwise empty.
    package let expertTokens: [Int]

    package init(
        key: PushKey, round: Int, kind: RoundKind, baseVersion: UInt64, steps: Int, tokens: Int,
        norm: Double, codec: String, verdict: Verdict = .sound, expertTokens: [Int] = []
    ) {
        self.key = key
        self.round = round
        self.kind = kind
        self.baseVersion = baseVersion
        self.steps = steps
        self.tokens = tokens
        self.norm = norm
        self.codec = codec
        self.verdict = verdict
        self.expertTokens = expertTokens
    }

    /// What its weight is computed from.
    func share(isObserving: Bool) -> Penalty.Share {
        Penalty.Share(
            worker: key.worker, tokens: tokens, isObserving: isObserving, norm: norm, steps: steps,
            isAnomalous: verdict != .sound)
    }
}

/// What became of a push.
package enum PushOutcome: Sendable, Equatable {
    /// Held for its round; it counts exactly once, however often it was sent.
    case accepted
    /// Its round has closed without it; the next one is `current`. The update is lost.
    case late(current: Int)
    /// It starts from a version that is this many steps old; not applied.
    case stale(by: Int)
    /// Its round is not open yet; send it again.
    case early
    /// The worker, or this incarnation of it, is not a member of the round.
    case notMember
    /// The payload does not decode, or its numbers are not finite.
    case refused(String)

    /// Whether the update itself was bad.
    package var isRefusal: Bool {
        if case .refused = self { return true }
        return false
    }
}

extension PushOutcome: CustomStringConvertible {
    package var description: String {
        switch self {
        case .accepted: "accepted"
        case .late(let current): "late (round \(current) is open)"
        case .stale(let by): "stale by \(by) versions"
        case .early: "early"
        case .notMember: "not a member of the round"
        case .refused(let reason): "refused: \(reason)"
        }
    }
}
