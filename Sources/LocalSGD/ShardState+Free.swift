/// What a shard server decides where there are no rounds: every push is judged, weighed and applied
/// when it comes.
extension ShardState {
    /// One contribution that makes a module's next version by itself.
    package struct PushPlan: Sendable, Equatable {
        package let key: PushKey
        /// Version that the update starts from.
        package let baseVersion: UInt64
        /// The version that it makes.
        package let version: UInt64
        /// What the update counts for (``Staleness``).
        package let factor: Double
        /// The same for each expert; empty for a module without experts.
        package let experts: [Double]
        /// Live workers: the length of the next period of momentum.
        package let workers: Int

        package var module: Int { key.module }

        /// What `part` of the update counts for.
        package func factor(of part: ModulePart) -> Double {
            if case .expert(let index) = part, index < experts.count { return experts[index] }
            return factor
        }
    }

    /// Whether pushes are applied as they come.
    var isFree: Bool { round?.opening.isFree == true }

    /// The version of each module, ascending by module, where they are not the run's.
    package var freeVersions: [UInt64] {
        isFree ? moduleIndices.compactMap { modules[$0]?.version } : []
    }

    /// The members of `opening` push from now on, and nobody else.
    mutating func openFreely(_ opening: RoundOpening, at now: Duration) -> [Effect] {
        round = OpenRound(
            opening: opening, openedAt: now, expected: Set(opening.members.map(\.worker)),
            openModules: [])
        for index in moduleIndices {
            let latest = modules[index]?.latest ?? [:]
            modules[index]?.latest = latest.filter { worker, latest in
                opening.members.contains {
                    $0.worker == worker && $0.incarnation == latest.key.incarnation
                }
            }
        }
        return []
    }

    private var liveWorkers: Int { max(round?.expected.count ?? 0, 1) }

    private func isLive(_ worker: String) -> Bool { round?.expected.contains(worker) == true }

    /// Forgets what a worker has pushed that is gone.
    mutating func forget(_ worker: String) {
        for index in moduleIndices { modules[index]?.latest[worker] = nil }
    }

    func admitFreely(_ push: Contribution, _ flaw: String?, to module: Module) -> PushOutcome {
        guard let opening = round?.opening else { return .early }
        let isMember = opening.members.contains {
            $0.worker == push.key.worker && $0.incarnation == push.key.incarnation
        }
        // A plan is given out only when all servers know the worker.
        guard isMember, isLive(push.key.worker) else { return .notMember }
        guard push.kind == .local else { return .refused("a \(push.kind) update without rounds") }
        guard push.baseVersion <= module.version else {
            return .refused("base version \(push.baseVersion) is ahead of \(module.version)")
        }
        let staleness = Int(module.version - push.baseVersion)
        let bound = Staleness.bound(workers: liveWorkers, perWorker: stalenessFactor)
        if staleness > bound { return .stale(by: staleness) }
        return flaw.map { .refused($0) } ?? .accepted
    }

    /// Weighs an accepted contribution against the last one of every live worker.
    mutating func applyFreely(_ push: Contribution) -> [Effect] {
        guard var module = modules[push.key.module] else { return [] }
        module.latest[push.key.worker] = push
        let cohort = module.latest.values.sorted { $0.key.worker < $1.key.worker }
        let weights = Penalty.weights(
            of: cohort.map { $0.share(isObserving: false) }, tokens: cohort.map(\.expertTokens),
            experts: module.experts, by: settings.weighting, temperature: temperature,
            stepWeight: settings.stepWeight)
        guard let own = cohort.firstIndex(where: { $0.key == push.key }) else { return [] }
        let workers = liveWorkers
        let staleness = Int(module.version - push.baseVersion)
        // Those who have not pushed yet would weigh as much as those who have.
        let present = Double(cohort.count) / Double(max(workers, 1))
        func factor(_ weights: [Double]) -> Double {
            Staleness.factor(
                staleness: staleness, weight: weights[own] * present, workers: workers,
                perWorker: stalenessFactor) ?? 0
        }
        module.version += 1
        modules[push.key.module] = module
        return [
            .apply(
                PushPlan(
                    key: push.key, baseVersion: push.baseVersion, version: module.version,
                    factor: factor(weights.dense), experts: weights.experts.map(factor),
                    workers: workers))
        ]
    }
}
