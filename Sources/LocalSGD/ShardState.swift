/// What a shard server decides: which pushes count, when a module's round closes, and how its
/// contributions are weighed.
///
/// It sees headers only; tensors stay with the server.
///
/// One module goes through its rounds like this:
///
///     installed (v) --opened(r = v)--> collecting --all answered / quorum at deadline--> merge
///         ^                                                                               |
///         +----------------------------- version v + 1 ----------------------------------+
package struct ShardState: Sendable {
    package enum Event: Sendable {
        /// The coordinator gave the server this module at this version.
        case installed(module: Int, version: UInt64)
        /// The coordinator opened a round.
        case opened(RoundOpening)
        /// A worker pushed an update; its bytes are with the server. `flaw` says what is wrong with
        /// them, if anything is.
        case pushed(Contribution, flaw: String?)
        /// The coordinator declared a worker dead or gone.
        case removed(worker: String, incarnation: UInt64)
        /// Time passed.
        case tick
    }

    package enum Effect: Sendable, Equatable {
        /// The answer to the push that caused this step.
        case answer(PushOutcome)
        /// Combine these contributions of `module`, make the next version of it and publish it.
        case merge(MergePlan)
        /// Tell the coordinator, until it has heard, that the round has closed here.
        case report(RoundClosing)
    }

    /// The contributions that make a module's next version.
    package struct MergePlan: Sendable, Equatable {
        package let module: Int
        package let opening: RoundOpening
        /// Keys and weights, ascending by worker; empty means that the version changes nothing.
        package let weights: [(key: PushKey, weight: Double)]

        package static func == (left: MergePlan, right: MergePlan) -> Bool {
            left.module == right.module && left.opening == right.opening
                && left.weights.elementsEqual(right.weights) {
                    $0.key == $1.key && $0.weight == $1.weight
                }
        }
    }

    /// The books of one module.
    private struct Module: Sendable {
        var version: UInt64
        /// Contributions held for the open round, by worker.
        var held: [String: Contribution] = [:]
        /// Members whose push for the open round does not count; nobody waits for another.
        var turnedDown: Set<String> = []
        /// The last push of each worker that was answered for good.
        var last: [String: LastPush] = [:]
        /// Workers whose contributions made the current version, and those turned down for it.
        var applied: [String] = []
        var refused: Set<String> = []
    }

    private struct LastPush: Sendable {
        let incarnation: UInt64
        let sequence: UInt64
        let outcome: PushOutcome
    }

    /// The round under way.
    private struct OpenRound: Sendable {
        let opening: RoundOpening
        let openedAt: Duration
        /// Members that are still expected to push.
        var expected: Set<String>
        /// Modules that have not closed yet.
        var openModules: Set<Int>
    }

    private let settings: RoundSettings
    private var modules: [Int: Module] = [:]
    private var round: OpenRound?

    package init(_ settings: RoundSettings) {
        self.settings = settings
    }

    /// Indices of the modules held, ascending.
    package var moduleIndices: [Int] { modules.keys.sorted() }

    /// Current version of `module`, if it is held here.
    package func version(of module: Int) -> UInt64? { modules[module]?.version }

    package mutating func step(_ event: Event, at now: Duration) -> [Effect] {
        switch event {
        case .installed(let module, let version):
            modules[module] = Module(version: version)
            return []
        case .opened(let opening):
            return open(opening, at: now)
        case .pushed(let contribution, let flaw):
            let outcome = judge(contribution, flaw)
            return [.answer(outcome)] + closeWhatCan(at: now)
        case .removed(let worker, let incarnation):
            guard let opening = round?.opening,
                opening.members.contains(where: {
                    $0.worker == worker && $0.incarnation == incarnation
                })
            else { return [] }
            round?.expected.remove(worker)
            return closeWhatCan(at: now)
        case .tick:
            return closeWhatCan(at: now)
        }
    }

    // MARK: Opening

    private mutating func open(_ opening: RoundOpening, at now: Duration) -> [Effect] {
        if let current = round?.opening, current.round >= opening.round { return [] }
        // A repeated order for a round that has closed here must not open it again.
        guard modules.values.allSatisfy({ $0.version <= opening.baseVersion }) else { return [] }
        round = OpenRound(
            opening: opening, openedAt: now, expected: Set(opening.members.map(\.worker)),
            openModules: Set(modules.keys))
        // A server without modules has nothing to wait for.
        return modules.isEmpty ? [.report(closing(opening))] : closeWhatCan(at: now)
    }

    // MARK: Pushes

    /// Decides one push.
    ///
    /// The same key gets the same answer for ever.
    private mutating func judge(_ push: Contribution, _ flaw: String?) -> PushOutcome {
        let key = push.key
        guard let module = modules[key.module] else {
            return .refused("module \(key.module) is not held here")
        }
        if let last = module.last[key.worker], last.incarnation == key.incarnation,
            key.sequence <= last.sequence
        {
            return key.sequence == last.sequence
                ? last.outcome : .late(current: Int(module.version))
        }
        let outcome = admit(push, flaw, to: module)
        // `early` is not for good: the same push comes again once the round is open.
        if outcome == .early { return outcome }
        modules[key.module]?.last[key.worker] = LastPush(
            incarnation: key.incarnation, sequence: key.sequence, outcome: outcome)
        if outcome == .accepted {
            modules[key.module]?.held[key.worker] = push
        } else if outcome != .notMember, push.round == round?.opening.round {
            modules[key.module]?.turnedDown.insert(key.worker)
        }
        return outcome
    }

    private func admit(
        _ push: Contribution, _ flaw: String?, to module: Module
    ) -> PushOutcome {
        let current = Int(module.version)
        if push.round < current { return .late(current: current) }
        guard let round, round.opening.round == push.round else { return .early }
        let isMember = round.opening.members.contains {
            $0.worker == push.key.worker && $0.incarnation == push.key.incarnation
        }
        guard isMember else { return .notMember }
        if let flaw { return .refused(flaw) }
        guard push.kind == round.opening.kind else {
            return .refused("a \(push.kind) update in a \(round.opening.kind) round")
        }
        guard push.baseVersion == module.version else {
            return push.baseVersion < module.version
                ? .stale(by: Int(module.version - push.baseVersion))
                : .refused("base version \(push.baseVersion) is ahead of \(module.version)")
        }
        return .accepted
    }

    // MARK: Closing

    /// Closes every module of the open round that has all it waits for, and then the round itself.
    private mutating func closeWhatCan(at now: Duration) -> [Effect] {
        guard let open = round, !open.openModules.isEmpty else { return [] }
        let overdue = now - open.openedAt >= .seconds(settings.deadlineSeconds)
        let quorum = Int((settings.quorum * Double(open.opening.members.count)).rounded(.up))
        var effects: [Effect] = []
        for index in open.openModules.sorted() {
            guard let module = modules[index] else { continue }
            let isComplete = open.expected.allSatisfy {
                module.held[$0] != nil || module.turnedDown.contains($0)
            }
            let isEnough = overdue && module.held.count >= max(quorum, 1)
            guard isComplete || isEnough else { continue }
            effects.append(.merge(close(index, module, open.opening)))
            round?.openModules.remove(index)
        }
        if round?.openModules.isEmpty == true { effects.append(.report(closing(open.opening))) }
        return effects
    }

    private mutating func close(
        _ index: Int, _ module: Module, _ opening: RoundOpening
    ) -> MergePlan {
        let contributions = module.held.values.sorted { $0.key.worker < $1.key.worker }
        let observing = Set(opening.members.filter(\.isObserving).map(\.worker))
        let weights = Penalty.weights(
            of: contributions.map {
                Penalty.Share(
                    worker: $0.key.worker, tokens: $0.tokens,
                    isObserving: observing.contains($0.key.worker))
            }, by: settings.weighting)
        modules[index]?.version = opening.baseVersion + 1
        modules[index]?.held = [:]
        modules[index]?.refused = module.turnedDown
        modules[index]?.turnedDown = []
        modules[index]?.applied = contributions.map(\.key.worker)
        return MergePlan(
            module: index, opening: opening,
            weights: zip(contributions, weights).map { (key: $0.key, weight: $1) })
    }

    private func closing(_ opening: RoundOpening) -> RoundClosing {
        var applied: [String: Int] = [:]
        for index in moduleIndices {
            for worker in modules[index]?.applied ?? [] { applied[worker, default: 0] += 1 }
        }
        return RoundClosing(
            round: opening.round, applied: applied,
            turnedDown: modules.values.reduce(into: []) { $0.formUnion($1.refused) })
    }
}
