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
        case installed(module: Int, version: UInt64, experts: Int = 0)
        /// The coordinator opened a round.
        case opened(RoundOpening)
        /// A worker pushed an update; its bytes are with the server. `flaw` says what is wrong with
        /// them, if anything is.
        case pushed(Contribution, flaw: String?)
        /// The coordinator declared a worker dead or gone in this round.
        case removed(worker: String, incarnation: UInt64, round: Int)
        /// Time passed.
        case tick
    }

    package enum Effect: Sendable, Equatable {
        /// The answer to the push that caused this step; `isNew` if it was found now, and not the
        /// one that the same push had before.
        case answer(PushOutcome, isNew: Bool)
        /// Combine these contributions of `module`, make the next version of it and publish it.
        case merge(MergePlan)
        /// Apply this one contribution, make the next version of its module and publish it.
        case apply(PushPlan)
        /// Tell the coordinator, until it has heard, that the round has closed here.
        case report(RoundClosing)
    }

    /// The contributions that make a module's next version.
    package struct MergePlan: Sendable, Equatable {
        package let module: Int
        package let opening: RoundOpening
        /// Keys and weights, ascending by worker; empty means that the version changes nothing.
        package let weights: [(key: PushKey, weight: Double)]
        /// For each expert its own weights, in the same order; empty for a module without experts,
        /// and in the warm-up, where a gradient is one of all tokens.
        package let experts: [[Double]]

        /// The weights of `part`, in the order of ``weights``.
        package func weights(of part: ModulePart) -> [Double] {
            if case .expert(let index) = part, index < experts.count { return experts[index] }
            return weights.map(\.weight)
        }

        package static func == (left: MergePlan, right: MergePlan) -> Bool {
            left.module == right.module && left.opening == right.opening
                && left.experts == right.experts
                && left.weights.elementsEqual(right.weights) {
                    $0.key == $1.key && $0.weight == $1.weight
                }
        }
    }

    /// The books of one module.
    struct Module: Sendable {
        var version: UInt64
        var experts: Int
        /// Contributions held for the open round, by worker.
        var held: [String: Contribution] = [:]
        /// Members whose push for the open round does not count; nobody waits for another.
        var turnedDown: Set<String> = []
        /// The last push of each worker that was answered for good.
        var last: [String: LastPush] = [:]
        /// Workers whose contributions made the current version, and those turned down for it.
        var applied: [String] = []
        var refused: Set<String> = []
        /// Inner steps behind the contributions to the current version, by worker.
        var steps: [String: Int] = [:]
        /// Without rounds: the last contribution of each live worker, which the next are weighed
        /// against.
        var latest: [String: Contribution] = [:]
    }

    struct LastPush: Sendable {
        let incarnation: UInt64
        let sequence: UInt64
        let outcome: PushOutcome

        /// Whether a push with `key` is this one, or one before it.
        func covers(_ key: PushKey) -> Bool {
            incarnation == key.incarnation && key.sequence <= sequence
        }
    }

    /// The round under way.
    struct OpenRound: Sendable {
        let opening: RoundOpening
        let openedAt: Duration
        /// Members that are still expected to push.
        var expected: Set<String>
        /// Modules that have not closed yet.
        var openModules: Set<Int>
    }

    let settings: RoundSettings
    /// T of ``Penalty``'s weights, if not that of the weighting.
    package let temperature: Double?
    /// Versions per live worker that a push may be behind where there are no rounds.
    let stalenessFactor: Int
    /// How long workers train before anyone is late.
    let roundLength: Duration
    var modules: [Int: Module] = [:]
    var round: OpenRound?

    package init(
        _ settings: RoundSettings, temperature: Double? = nil,
        stalenessFactor: Int = Staleness.versionsPerWorkerMax, roundLength: Duration = .zero
    ) {
        self.settings = settings
        self.temperature = temperature
        self.stalenessFactor = stalenessFactor
        self.roundLength = roundLength
    }

    /// A server's state in a run with these settings.
    package init(_ settings: RunSettings) {
        self.init(
            settings.rounds,
            temperature: settings.penalty.temperature > 0 ? settings.penalty.temperature : nil,
            stalenessFactor: settings.asynchronous.stalenessFactor,
            roundLength: settings.mode == .aEdit ? settings.longestRound : .zero)
    }

    /// Indices of the modules held, ascending.
    package var moduleIndices: [Int] { modules.keys.sorted() }

    /// Current version of `module`, if it is held here.
    package func version(of module: Int) -> UInt64? { modules[module]?.version }

    package mutating func step(_ event: Event, at now: Duration) -> [Effect] {
        switch event {
        case .installed(let module, let version, let experts):
            modules[module] = Module(version: version, experts: experts)
            return []
        case .opened(let opening):
            return open(opening, at: now)
        case .pushed(let contribution, let flaw):
            let (outcome, isNew) = judge(contribution, flaw)
            let answer = Effect.answer(outcome, isNew: isNew)
            guard isFree else { return [answer] + closeWhatCan(at: now) }
            let counts = isNew && outcome == .accepted && contribution.verdict == .sound
            return [answer] + (counts ? applyFreely(contribution) : [])
        case .removed(let worker, let incarnation, let removedFrom):
            // An order that comes late says nothing of a worker that has come back since.
            guard let opening = round?.opening, opening.round == removedFrom,
                opening.members.contains(where: {
                    $0.worker == worker && $0.incarnation == incarnation
                })
            else { return [] }
            round?.expected.remove(worker)
            if opening.isFree { forget(worker) }
            return closeWhatCan(at: now)
        case .tick:
            return closeWhatCan(at: now)
        }
    }

    // MARK: Opening

    private mutating func open(_ opening: RoundOpening, at now: Duration) -> [Effect] {
        if let current = round?.opening, current.round >= opening.round { return [] }
        if opening.isFree { return openFreely(opening, at: now) }
        // A repeated order for a round that has closed here must not open it again.
        guard modules.values.allSatisfy({ $0.version <= opening.baseVersion }) else { return [] }
        round = OpenRound(
            opening: opening, openedAt: now, expected: Set(opening.members.map(\.worker)),
            openModules: Set(modules.keys))
        // A server without modules has nothing to wait for.
        return modules.isEmpty ? [.report(closing(opening))] : closeWhatCan(at: now)
    }

    // MARK: Pushes

    /// Whether a push with this key, or a later one of its worker, has been answered for good, so
    /// that nothing depends on its bytes.
    package func hasAnswered(_ key: PushKey) -> Bool {
        modules[key.module]?.last[key.worker]?.covers(key) == true
    }

    /// Decides one push.
    ///
    /// The same key gets the same answer for ever, whatever comes with it again; `isNew` says
    /// whether this is the first time.
    private mutating func judge(
        _ push: Contribution, _ flaw: String?
    ) -> (outcome: PushOutcome, isNew: Bool) {
        let key = push.key
        guard let module = modules[key.module] else {
            return (.refused("module \(key.module) is not held here"), true)
        }
        if let last = module.last[key.worker], last.covers(key) {
            let isSame = key.sequence == last.sequence
            return (isSame ? last.outcome : .late(current: Int(module.version)), false)
        }
        let outcome = isFree ? admitFreely(push, flaw, to: module) : admit(push, flaw, to: module)
        // `early` is not for good: the same push comes again once the round is open.
        if outcome == .early { return (outcome, true) }
        modules[key.module]?.last[key.worker] = LastPush(
            incarnation: key.incarnation, sequence: key.sequence, outcome: outcome)
        if isFree { return (outcome, true) }
        if outcome == .accepted {
            modules[key.module]?.held[key.worker] = push
        } else if outcome != .notMember, push.round == round?.opening.round {
            modules[key.module]?.turnedDown.insert(key.worker)
        }
        return (outcome, true)
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
        let overdue =
            now - open.openedAt >= .seconds(settings.deadlineSeconds) + roundLength
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
        let anomalies = contributions.filter { $0.verdict == .anomaly }.map(\.key.worker)
        modules[index]?.version = opening.baseVersion + 1
        modules[index]?.held = [:]
        modules[index]?.refused = module.turnedDown.union(anomalies)
        modules[index]?.turnedDown = []
        modules[index]?.applied = contributions.filter { $0.verdict == .sound }.map(\.key.worker)
        modules[index]?.steps = contributions.reduce(into: [:]) { $0[$1.key.worker] = $1.steps }
        return plan(index, module.experts, contributions, opening)
    }

    /// Weighs the contributions; a plan without any weight is an empty one.
    private func plan(
        _ index: Int, _ experts: Int, _ contributions: [Contribution], _ opening: RoundOpening
    ) -> MergePlan {
        let observing = Set(opening.members.filter(\.isObserving).map(\.worker))
        let shares = contributions.map {
            $0.share(isObserving: observing.contains($0.key.worker))
        }
        // A gradient of the warm-up has a part in one large batch, and in all experts the same.
        let isWarmup = opening.kind == .warmup
        let weighting = isWarmup && settings.weighting != .uniform ? .tokens : settings.weighting
        let weights = Penalty.weights(
            of: shares, tokens: contributions.map(\.expertTokens), experts: isWarmup ? 0 : experts,
            by: weighting, temperature: temperature,
            stepWeight: settings.stepWeight)
        guard weights.isTouched(.dense) else {
            return MergePlan(module: index, opening: opening, weights: [], experts: [])
        }
        return MergePlan(
            module: index, opening: opening,
            weights: zip(contributions, weights.dense).map { (key: $0.key, weight: $1) },
            experts: weights.experts)
    }

    private func closing(_ opening: RoundOpening) -> RoundClosing {
        var applied: [String: Int] = [:]
        var steps: [String: Int] = [:]
        for index in moduleIndices {
            for worker in modules[index]?.applied ?? [] { applied[worker, default: 0] += 1 }
            steps.merge(modules[index]?.steps ?? [:], uniquingKeysWith: max)
        }
        return RoundClosing(
            round: opening.round, applied: applied,
            turnedDown: modules.values.reduce(into: []) { $0.formUnion($1.refused) }, steps: steps)
    }
}
