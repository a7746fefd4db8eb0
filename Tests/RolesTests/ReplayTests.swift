import Cluster
import LocalSGD
import Roles
import Synchronization
import Tensors
import Testing

/// T16 where calls are lost and workers die.
///
/// Which contributions count is then another history with every seed. Once that is known, and with
/// which weights, all numbers follow; so each run is worked out again from its servers' decisions.
@Suite("Runs with faults, worked out again")
struct ReplayTests {
    @Test(
        "T16: where calls are lost and workers die, a run is what its servers have decided",
        arguments: [RunMode.edit, .aEdit])
    func t16(mode: RunMode) throws {
        var incomplete = 0
        for seed in 1...12 as ClosedRange<UInt64> {
            var options = SimulationTests.faultyOptions(seed)
            if mode == .aEdit { options.settings = TimedRoundTests.timed(options.settings) }
            // Without moments a worker's round follows from where it begins and its sequences.
            options.settings.inner.method = .sgd
            options.settings.inner.rejoinSteps = 0
            options.notesGradients = true
            let cluster = SimulatedCluster(options)
            let outcome = try cluster.run(SimulationTests.faultyIncidents(seed))
            #expect(outcome.phase == .finished, "seed \(seed) ends as \(outcome.phase)")
            SimulationTests.expectClosedAccounts(outcome, seed)
            let plans = TimedRoundTests.merges(cluster)
            let version = Int(try #require(outcome.record?.version))
            #expect(plans.count == 4 * version, "seed \(seed)")
            let keys = plans.flatMap { $0.weights.map(\.key) }
            #expect(Set(keys).count == keys.count, "seed \(seed) counts one twice")
            incomplete += plans.filter { $0.weights.count < $0.opening.members.count }.count
            var replay = Replay(of: cluster)
            for round in 0..<version { try replay.merge(round) }
            #expect(replay.parameters.array == outcome.parameters, "seed \(seed)")
            #expect(replay.momentum.array == outcome.momentum, "seed \(seed)")
        }
        #expect(incomplete > 0)
    }
}

/// A run without codecs and moments as its servers' decisions and its workers' sequences make it.
private struct Replay {
    private let settings: RunSettings
    private let layout: ParameterLayout
    private let plans: [ShardState.MergePlan]
    private let closings: [RoundClosing]
    private let computations: [String: [SimulatedCluster.Computation]]
    let parameters = FloatBuffer(IdentityTests.start)
    let momentum = FloatBuffer(count: IdentityTests.start.count)
    private var clips: [AdaptiveClip]

    init(of cluster: SimulatedCluster) {
        let options = cluster.options
        settings = options.settings
        layout = options.layout
        plans = TimedRoundTests.merges(cluster)
        closings = TimedRoundTests.closings(cluster)
        computations = cluster.computations.withLock { $0 }
        clips = options.layout.modules.map { _ in AdaptiveClip(options.settings.clip) }
    }

    /// Goes from version `round` to the next, for all modules.
    mutating func merge(_ round: Int) throws {
        let start = parameters.duplicate()
        for plan in plans where plan.opening.round == round {
            let counted = plan.weights.filter { $0.weight > 0 }
            // A round without contributions leaves everything as it is.
            guard !counted.isEmpty else { continue }
            switch plan.opening.kind {
            case .warmup: try stepInWarmup(plan, counted, from: start)
            case .local: try stepOuter(plan, counted, from: start)
            }
        }
    }

    private var optimizer: InnerOptimizer {
        InnerOptimizer(
            settings.inner, count: parameters.count, totalSteps: settings.totalSteps)
    }

    /// A step on the mean gradient.
    private func stepInWarmup(
        _ plan: ShardState.MergePlan, _ counted: [(key: PushKey, weight: Double)],
        from start: FloatBuffer
    ) throws {
        let range = layout.modules[plan.module].range
        let mean = DoubleBuffer(count: range.count)
        for (key, weight) in counted {
            let found = try steps(1, of: key, from: start)[0]
            let gradient = IdentityTests.gradient(
                of: start, on: found.sequences, settings, optimizer)
            mean.accumulate(gradient[range], weight: weight)
        }
        var inner = InnerOptimizer(
            settings.inner, count: range.count, totalSteps: settings.totalSteps)
        inner.step(
            parameters[range], gradients: mean.narrowed(scale: 1),
            scheduleStep: plan.opening.scheduleStep)
    }

    /// An outer step on the mean of what workers have learnt.
    private mutating func stepOuter(
        _ plan: ShardState.MergePlan, _ counted: [(key: PushKey, weight: Double)],
        from start: FloatBuffer
    ) throws {
        let range = layout.modules[plan.module].range
        let anchor = start[range]
        var locals: [FloatBuffer] = []
        var samples: [Double] = []
        for (key, _) in counted {
            let count = stepCount(of: key, in: plan.opening)
            let local = try local(of: key, plan.opening, steps: count, from: start)[range]
            let update = DoubleBuffer(count: range.count)
            update.accumulateDifference(anchor: anchor, local: local, weight: 1)
            let norm = update.sumOfSquares.squareRoot()
            samples.append(NormDetector.sample(norm: norm, steps: count))
            locals.append(local)
        }
        let mean = DoubleBuffer(count: range.count)
        for (index, factor) in Penalty.guardFactors(norms: samples).enumerated() {
            mean.accumulateDifference(
                anchor: anchor, local: locals[index], weight: counted[index].weight * factor)
        }
        let norm = mean.sumOfSquares.squareRoot()
        let result = OuterOptimizer(settings.outer).step(
            global: anchor, momentum: momentum[range], mean: mean, norm: norm,
            clip: clips[plan.module].factor(norm: norm), ranges: [0..<range.count])
        parameters[range].copy(from: result.global)
        momentum[range].copy(from: result.momentum)
    }

    /// Where the worker of `key` ends that begins the round at `start`.
    private func local(
        of key: PushKey, _ opening: RoundOpening, steps count: Int, from start: FloatBuffer
    ) throws -> FloatBuffer {
        let local = start.duplicate()
        var optimizer = optimizer
        for (step, found) in try steps(count, of: key, from: start).enumerated() {
            try #require(found.parameters == local.array)
            let gradient = IdentityTests.gradient(
                of: local, on: found.sequences, settings, optimizer)
            optimizer.step(
                local, gradients: gradient, scheduleStep: opening.scheduleStep + step)
        }
        return local
    }

    /// The first `count` gradients that the worker of `key` has computed from `start` on.
    ///
    /// If a round has changed nothing, it has begun there more than once; what counts is the last.
    private func steps(
        _ count: Int, of key: PushKey, from start: FloatBuffer
    ) throws -> [SimulatedCluster.Computation] {
        let all = computations["\(key.worker)/\(key.incarnation)"] ?? []
        let numbers = start.array
        let begun = all.lastIndex { $0.parameters == numbers }
        let first = try #require(begun)
        try #require(first + count <= all.count)
        return Array(all[first..<first + count])
    }

    /// Inner steps behind a contribution, as its header says.
    private func stepCount(of key: PushKey, in opening: RoundOpening) -> Int {
        closings.filter { $0.round == opening.round }.compactMap { $0.steps[key.worker] }.max() ?? 0
    }
}
