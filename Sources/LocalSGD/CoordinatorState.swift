/// What the coordinator decides: who is a member, when a round opens, what each worker does in it,
/// when the run is measured, kept and ended.
///
/// It holds no tensor and does nothing itself.
///
///     gathering --all shard servers--> seeding --modules placed--> idle <---------------+
///         idle --enough workers--> opening(r) --shards know--> running(r) --closed--> decide
///         decide --more rounds--> opening(r + 1) | nobody left--> idle
///         decide --last round, or stop--> concluding --measured--> keeping --kept--> finished
///         any  --shard server lost, no way to go on--> failed
package struct CoordinatorState: Sendable {
    package enum Phase: Sendable, Equatable {
        /// Waiting for shard servers.
        case gathering
        /// Modules are on their way to the shard servers.
        case seeding
        /// Between rounds, for want of workers.
        case idle
        /// Shard servers are being told of a round.
        case opening(RoundOpening)
        /// Workers are training.
        case running(RoundOpening)
        /// The last version is being measured.
        case concluding
        /// The last version is being written.
        case keeping
        case finished
        case failed(reason: String)

        /// Whether nothing more will happen.
        package var isOver: Bool {
            switch self {
            case .finished, .failed: true
            default: false
            }
        }
    }

    package enum Event: Sendable {
        /// A shard server asked to join.
        case shardJoined(name: String)
        /// Every shard server holds its modules.
        case seeded
        case seedFailed(reason: String)
        /// A worker asked to join. `isComplete` says that it brought its optimizer's state along
        /// from the version that the run is at.
        case workerJoined(name: String, incarnation: UInt64, isComplete: Bool)
        /// A worker holds the current version and asks what to do; with what it did last.
        case asked(name: String, incarnation: UInt64, report: RoundReport?)
        case heartbeat(name: String, Heartbeat)
        /// A worker of a round by time has used up its lease, or (`isOver`) its time.
        case usedUp(name: String, incarnation: UInt64, round: Int, steps: Int, isOver: Bool)
        /// Every shard server knows of the round.
        case opened(round: Int)
        /// A round has closed on one shard server.
        case closed(shard: String, RoundClosing)
        case evaluated(name: String, EvaluationReport)
        /// The node has not been heard of for too long, or said goodbye.
        case lost(name: String)
        case shardLost(name: String)
        case kept(version: UInt64, path: String)
        case keepFailed(version: UInt64, reason: String)
        /// An operator's orders.
        case stop
        case keepNow
        case drain(worker: String)
        case tick
    }

    package enum Effect: Sendable, Equatable {
        /// Give every module to the shard server that holds it, then say `seeded`.
        case seed(ShardMap)
        /// Tell all shard servers, then say `opened`.
        case open(RoundOpening)
        /// Tell all shard servers that this worker will not push any more in this round.
        case remove(worker: String, incarnation: UInt64, round: Int)
        /// Write a checkpoint of this version, then say `kept` or `keepFailed`.
        case keep(version: UInt64)
        /// Something that workers ask for may have changed.
        case wake
        /// One line for the log.
        case log(String)
    }

    package struct Member: Sendable, Equatable {
        package enum State: String, Sendable, Equatable {
            /// Pulling parameters.
            case joining
            /// Holds the current version; takes part in the next round.
            case ready
            case training
            /// Told to go after this round.
            case draining
            /// Gone by its own or an operator's will.
            case left
            /// Not heard of any more.
            case lost
        }

        package var incarnation: UInt64
        package var state: State
        /// Has taken part in a round, or started with complete state: carries weight.
        package var isSettled: Bool
        package var lastHeard: Duration
        package var heartbeat: Heartbeat?
        /// The round of its last report, so that a repeated report counts once.
        package var lastReported: Int = -1
    }

    package let settings: RunSettings
    package let moduleSizes: [Int]
    package let shardCount: Int
    /// Held-out sequences there are.
    package let heldOutSequences: Int
    /// Layers of the model that have masks, where that is known.
    package let maskLayers: Int?

    package internal(set) var phase: Phase = .gathering
    package internal(set) var shards: [String] = []
    package internal(set) var shardMap: ShardMap?
    package internal(set) var members: [String: Member] = [:]
    /// Version of every module between rounds; the number of the next round to open.
    package internal(set) var version: Int
    package internal(set) var ledger: Ledger
    package internal(set) var history: RunHistory
    package internal(set) var latestCheckpoint: (version: UInt64, path: String)?
    package internal(set) var evaluation: Evaluation?

    /// Plans of the round that is opening or running, by worker.
    var plans: [String: RoundPlan] = [:]
    /// Closings of the running round, by shard server.
    var closings: [String: RoundClosing] = [:]
    /// Reports of the running round and the one before, by round and worker.
    var reports: [Int: [String: RoundReport]] = [:]
    /// What a round by time has come to.
    var timing = Timing()
    /// Where there are no rounds.
    var flow = Flow()
    package internal(set) var stopRequested = false
    var keepRequested = false
    /// Before its first round a run, also a resumed one, waits for all the workers it asked for.
    var hasOpenedRound = false
    /// What a checkpoint is being written of.
    package internal(set) var keeping: Snapshot?
    /// The newest version that is kept; -1 if none is.
    var lastKept: Int
    /// Seconds of run time before this process.
    package let secondsBefore: Double

    /// A new run, or (`version` > 0) one that goes on from a checkpoint.
    package init(
        settings: RunSettings, moduleSizes: [Int], shardCount: Int, heldOutSequences: Int,
        maskLayers: Int? = nil, version: Int = 0, ledger: Ledger = Ledger(),
        history: RunHistory = RunHistory(), checkpoint: String? = nil
    ) {
        latestCheckpoint = checkpoint.map { (UInt64(version), $0) }
        self.settings = settings
        self.moduleSizes = moduleSizes
        self.shardCount = shardCount
        self.heldOutSequences = heldOutSequences
        self.maskLayers = maskLayers
        self.version = version
        self.ledger = ledger
        self.history = history
        lastKept = version > 0 ? version : -1
        flow.updates = LocalUpdates(syncInterval: settings.rounds.syncInterval)
        secondsBefore = history.points.last?.seconds ?? 0
    }

    package mutating func step(_ event: Event, at now: Duration) -> [Effect] {
        switch event {
        case .shardJoined(let name): return shardJoined(name)
        case .seeded: return seeded(at: now)
        case .seedFailed(let reason): return fail(reason)
        case .workerJoined(let name, let incarnation, let isComplete):
            return workerJoined(name, incarnation, isComplete: isComplete, at: now)
        case .asked(let name, let incarnation, let report):
            return asked(name, incarnation, report, at: now)
        case .heartbeat(let name, let heartbeat):
            guard members[name]?.incarnation == heartbeat.incarnation else { return [] }
            members[name]?.heartbeat = heartbeat
            noteSteps(of: name, heartbeat)
            members[name]?.lastHeard = now
            return []
        case .usedUp(let name, let incarnation, let round, let steps, let isOver):
            guard members[name]?.incarnation == incarnation, isUnderWay(round, for: name) else {
                return []
            }
            usedUp(name, steps: steps, isOver: isOver, at: now)
            return []
        case .opened(let round): return opened(round, at: now)
        case .closed(let shard, let closing): return closed(shard, closing, at: now)
        case .evaluated(let name, let report): return evaluated(name, report, at: now)
        case .lost(let name): return lost(name, at: now)
        case .shardLost(let name): return shardLost(name)
        case .kept(let version, let path): return kept(version, path: path, at: now)
        case .keepFailed(let version, let reason): return keepFailed(version, reason)
        case .stop:
            stopRequested = true
            return proceedIfIdle(at: now) + finishFlowIfEmpty(at: now)
        case .keepNow:
            keepRequested = true
            return keepIfDue(at: now)
        case .drain(let worker): return drain(worker, at: now)
        case .tick:
            return orderKeeping(at: now) + proceedIfIdle(at: now) + finishFlowIfEmpty(at: now)
        }
    }
}

// MARK: - Questions

extension CoordinatorState {
    /// Whether the run is over, one way or the other.
    package var isOver: Bool { phase.isOver }

    /// The round under way or being opened.
    package var openRound: RoundOpening? {
        switch phase {
        case .opening(let opening), .running(let opening): opening
        default: nil
        }
    }

    /// Estimate of the run time left, from the pace of the last rounds of the same kind.
    package var secondsLeft: Double? {
        if settings.mode != .edit { return secondsLeftByPosition }
        // A step of the warm-up costs much more than one of a round and tells nothing of the rest.
        let warmup = settings.rounds.total > settings.rounds.warmup ? settings.rounds.warmup : 0
        let recent = history.points.filter { $0.round >= warmup - 1 }.suffix(8)
        guard let first = recent.first, let last = recent.last, last.round > first.round else {
            return nil
        }
        let steps = settings.step(atRound: last.round + 1) - settings.step(atRound: first.round + 1)
        let pace = (last.seconds - first.seconds) / Double(max(steps, 1))
        return pace * Double(settings.totalSteps - settings.step(atRound: version))
    }

    /// Workers that take part in what comes next, ascending.
    package var presentWorkers: [String] {
        members.filter { $0.value.state == .ready || $0.value.state == .training }.keys.sorted()
    }

    /// What `name` is to do now; a pure question, asked as often as one likes.
    package func assignment(
        for name: String, incarnation: UInt64, at now: Duration
    ) -> Assignment {
        guard let member = members[name], member.incarnation == incarnation else {
            return .rejoin
        }
        switch phase {
        case .finished: return .leave(reason: "the run is finished")
        case .failed(let reason): return .leave(reason: reason)
        case .running:
            let isTraining = member.state == .training || member.state == .draining
            if isTraining, let plan = plans[name], member.lastReported < plan.round {
                return .round(begun(plan, at: now))
            }
        case .concluding:
            if let evaluation, let part = evaluation.parts[name] {
                return .evaluate(
                    version: evaluation.version, sequences: part, savesState: true)
            }
        case .keeping, .gathering, .seeding, .idle, .opening: break
        }
        switch member.state {
        case .draining where plans[name] == nil: return .leave(reason: "drained")
        case .left: return .leave(reason: "drained")
        case .lost: return .rejoin
        default: return .wait
        }
    }
}
