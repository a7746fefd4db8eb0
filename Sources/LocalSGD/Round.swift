/// What a round is, as the coordinator tells it to shard servers and workers.

package enum RoundKind: String, Sendable, Codable, CaseIterable {
    /// One step, whose gradients are averaged; all workers stay identical.
    case warmup
    /// Many local steps, whose pseudo-gradients are averaged.
    case local
}

/// One worker of a round.
package struct RoundMember: Sendable, Equatable {
    package let worker: String
    package let incarnation: UInt64
    /// In its first round since joining: trains, but carries no weight.
    package let isObserving: Bool

    package init(worker: String, incarnation: UInt64, isObserving: Bool) {
        self.worker = worker
        self.incarnation = incarnation
        self.isObserving = isObserving
    }
}

/// What shard servers are told when a round opens.
package struct RoundOpening: Sendable, Equatable {
    /// Counts from 0; also the version that every module has while the round is open.
    package let round: Int
    package let kind: RoundKind
    /// Ascending by name.
    package let members: [RoundMember]
    /// Inner step of the run at which the round starts; sets the learning rate in the warm-up.
    package let scheduleStep: Int
    /// Whether the version at the opening is kept for a checkpoint until told otherwise.
    package let retainsBase: Bool
    /// Whether pushes are applied as they come, until the next opening: mode `async`.
    ///
    /// Then modules have versions of their own, and `round` only says which opening is the newest.
    package let isFree: Bool

    package init(
        round: Int, kind: RoundKind, members: [RoundMember], scheduleStep: Int, retainsBase: Bool,
        isFree: Bool = false
    ) {
        self.round = round
        self.kind = kind
        self.members = members
        self.scheduleStep = scheduleStep
        self.retainsBase = retainsBase
        self.isFree = isFree
    }

    package var baseVersion: UInt64 { UInt64(round) }
}

/// What one worker is told to do in a round.
package struct RoundPlan: Sendable, Equatable {
    package let round: Int
    package let kind: RoundKind
    /// Version of every module that the round starts from.
    package let baseVersion: UInt64
    /// Inner steps of the round; in a round by time, those that the lease is enough for.
    package let steps: Int
    /// Inner step of the run at which the round starts.
    package let scheduleStep: Int
    /// The sequences to train on, `batchSize` per step.
    package let lease: Lease
    /// Held-out sequences to measure the base version on before training, if any.
    package let evaluation: Range<Int>?
    /// Whether the optimizer's state at the base version is to be kept for a resume.
    package let savesState: Bool
    /// In a round by time, how long it lasts from now.
    package var syncTime: Duration?
    /// Whether the worker goes on from whatever versions there are after its push; `baseVersion`
    /// then is the run's and no module's.
    package let isFree: Bool
    /// Factor of the masks' regulariser, where masks are learnt.
    package let maskCoefficient: Double

    package init(
        round: Int, kind: RoundKind, baseVersion: UInt64, steps: Int, scheduleStep: Int,
        lease: Lease, evaluation: Range<Int>?, savesState: Bool, syncTime: Duration? = nil,
        isFree: Bool = false, maskCoefficient: Double = 0
    ) {
        self.round = round
        self.kind = kind
        self.baseVersion = baseVersion
        self.steps = steps
        self.scheduleStep = scheduleStep
        self.lease = lease
        self.evaluation = evaluation
        self.savesState = savesState
        self.syncTime = syncTime
        self.isFree = isFree
        self.maskCoefficient = maskCoefficient
    }
}

/// What a worker of a round by time may do when its lease or its time is used up.
package struct Allowance: Sendable, Equatable {
    /// The whole lease of the round, as it is now.
    package let lease: Lease
    /// By how much the round is longer than planned.
    package let extra: Duration

    package init(lease: Lease, extra: Duration) {
        self.lease = lease
        self.extra = extra
    }
}

/// What the coordinator answers a worker that asks what to do.
package enum Assignment: Sendable, Equatable {
    case round(RoundPlan)
    /// Measure `version` on these held-out sequences, without training.
    case evaluate(version: UInt64, sequences: Range<Int>, savesState: Bool)
    /// Nothing yet; ask again.
    case wait
    /// Not a member (any more): join again.
    case rejoin
    /// The run is over, or this worker is to go.
    case leave(reason: String)
}

/// What a shard server reports when a round has closed on all its modules.
package struct RoundClosing: Sendable, Equatable {
    package let round: Int
    /// For each worker, in how many modules of this server its contribution was applied.
    package let applied: [String: Int]

    /// Workers whose push did not count in some module; their data is used up all the same, or bad
    /// data would come back for ever.
    package let turnedDown: Set<String>
    /// Inner steps behind each contribution, applied or not, as its header says.
    package let steps: [String: Int]

    package init(
        round: Int, applied: [String: Int], turnedDown: Set<String> = [], steps: [String: Int] = [:]
    ) {
        self.round = round
        self.applied = applied
        self.turnedDown = turnedDown
        self.steps = steps
    }
}
