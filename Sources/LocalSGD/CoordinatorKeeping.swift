/// What the coordinator keeps in checkpoints, and when.
extension CoordinatorState {
    /// The coordinator's own part of a checkpoint, as it was when the version was made.
    package struct Snapshot: Sendable, Equatable {
        package let version: UInt64
        package let ledger: Ledger
        package fileprivate(set) var history: RunHistory
        /// Workers, by name with their incarnation, that have yet to tell of the round that made
        /// the version.
        fileprivate var awaited: [String: UInt64] = [:]
        fileprivate let takenAt: Duration
        /// Whether the order to write it is given.
        fileprivate var isOrdered = false
    }

    /// How long the last checkpoint waits for workers that are here and say nothing.
    static let reportPatience: Duration = .seconds(60)

    var isKeepDue: Bool {
        guard keeping == nil, version > lastKept else { return false }
        let unkept = version - max(lastKept, 0)
        let every = settings.observation.checkpointEvery
        return keepRequested || (every > 0 && unkept >= every)
    }

    /// An order to keep is carried out when the next round opens; without rounds, at once.
    mutating func keepIfDue(at now: Duration) -> [Effect] {
        guard phase == .idle, isKeepDue else { return [] }
        keepRequested = false
        keeping = snapshot(at: now)
        return orderKeeping(at: now)
    }

    /// The current version, to be written once ``orderKeeping(at:isLate:)`` says so.
    func snapshot(at now: Duration) -> Snapshot {
        var snapshot = Snapshot(
            version: UInt64(version), ledger: ledger.settled, history: history, takenAt: now)
        guard heedsReportsLater(atVersion: version) else { return snapshot }
        snapshot.awaited = members.filter {
            ($0.value.state == .training || $0.value.state == .draining)
                && $0.value.lastReported < version - 1
        }
        .mapValues(\.incarnation)
        return snapshot
    }

    /// Gives the order to write what is to be kept, once all is there that belongs into it.
    ///
    /// That is at once, but where masks are learnt: their regulariser is steered by what workers
    /// tell of a round while the next one is under way, and a run that goes on from the checkpoint
    /// must have heard the same. `isLate` says that what is missing will not be heeded any more.
    mutating func orderKeeping(at now: Duration, isLate: Bool = false) -> [Effect] {
        guard let snapshot = keeping, !snapshot.isOrdered, !isOver else { return [] }
        // The shard servers do not hold on to the version yet; without rounds they need not.
        if case .opening(let opening) = phase, !opening.isFree { return [] }
        let round = Int(snapshot.version) - 1
        let isMissing = snapshot.awaited.contains { name, incarnation in
            guard let member = members[name], member.incarnation == incarnation else {
                return false
            }
            let isHere = member.state == .training || member.state == .draining
            return isHere && member.lastReported < round
        }
        let isOverdue =
            phase == .keeping && now - snapshot.takenAt > CoordinatorState.reportPatience
        guard !isMissing || isLate || isOverdue else { return [] }
        keeping?.isOrdered = true
        if heedsReportsLater(atVersion: round + 1) {
            // From now on it is all that is heeded of the round, here as after a resume.
            history.masksAhead = .init(round: round, layers: maskShares(ofRound: round) ?? [])
            keeping?.history.masksAhead = history.masksAhead
        }
        let order = Effect.keep(version: snapshot.version)
        guard isMissing, !isLate else { return [order] }
        return [.log("workers are silent; what masks left at last is kept without them"), order]
    }

    /// Notes that `name` asked and told nothing: at the end of a run it has nothing to tell.
    mutating func noteSilence(of name: String) {
        if phase == .keeping { keeping?.awaited[name] = nil }
    }

    /// Whether what workers tell of the round that made `version` is heeded when the next one has
    /// closed; without rounds it is at once.
    private func heedsReportsLater(atVersion version: Int) -> Bool {
        settings.masks.isOn
            && (settings.mode != .asynchronous || version < settings.rounds.warmup)
    }

    mutating func kept(_ kept: UInt64, path: String, at now: Duration) -> [Effect] {
        keeping = nil
        lastKept = max(lastKept, Int(kept))
        latestCheckpoint = (kept, path)
        guard phase == .keeping else { return [.log("version \(kept) is kept in \(path)")] }
        return [.log("version \(kept) is kept in \(path)")] + keepLast(at: now)
    }

    mutating func keepFailed(_ version: UInt64, _ reason: String) -> [Effect] {
        keeping = nil
        let message = "version \(version) could not be kept: \(reason)"
        return phase == .keeping ? fail(message) : [.log(message)]
    }

    /// Keeps the version that the run ends with, unless it is kept.
    mutating func keepLast(at now: Duration) -> [Effect] {
        phase = .keeping
        guard keeping == nil else { return [] }
        if lastKept == version {
            phase = .finished
            return [.log("the run is finished at version \(version)"), .wake]
        }
        keeping = snapshot(at: now)
        return orderKeeping(at: now)
    }
}
