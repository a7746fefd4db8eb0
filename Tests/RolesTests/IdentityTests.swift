import Cluster
import LocalSGD
import MoE
import Roles
import Synchronization
import Tensors
import Testing

/// One worker and plain AdamW are the same thing; many workers are averaged as the papers say.
///
/// All through the production roles, codec and state machines.
@Suite("Barrier mode equals what it should, bit for bit")
struct IdentityTests {
    /// Outer lr 1, no momentum, no clip: the servers take over what the workers say.
    static func settings(rounds: Int, warmup: Int, interval: Int, workers: Int) -> RunSettings {
        var settings = RunSettings()
        settings.mode = .edit
        settings.overlap.steps = 0
        settings.sequenceLength = 4
        settings.rounds.total = rounds
        settings.rounds.warmup = warmup
        settings.rounds.syncInterval = interval
        settings.rounds.batchSize = 2
        settings.rounds.minimumWorkers = workers
        settings.inner.learningRate = 0.02
        settings.inner.warmupSteps = 10
        settings.outer.learningRate = 1
        settings.outer.momentum = 0
        settings.penalty.learnsClip = false
        settings.penalty.detectsAnomalies = false
        settings.observation.evaluateEvery = 0
        settings.observation.checkpointEvery = 0
        return settings
    }

    /// Where every simulated run starts.
    static let start = QuadraticObjective.layout.modules.indices.flatMap {
        QuadraticObjective.start($0)
    }

    /// Plain training on sequences 0, 1, 2 and so on, without any of Martlet's cluster.
    static func plain(
        _ settings: RunSettings, steps: Int, batch: Int
    ) -> (parameters: [Float], first: [Float], second: [Float]) {
        let parameters = FloatBuffer(start)
        var optimizer = InnerOptimizer(
            settings.inner, count: start.count, totalSteps: settings.totalSteps)
        for step in 0..<steps {
            let sequences = (step * batch..<(step + 1) * batch).map { Int32($0 % 1000) }
            let gradient = gradient(of: parameters, on: sequences, settings, optimizer)
            optimizer.step(parameters, gradients: gradient, scheduleStep: step)
        }
        return (parameters.array, optimizer.firstMoment.array, optimizer.secondMoment.array)
    }

    /// The gradient of `parameters` on the sequences of these numbers, as `optimizer` clips it.
    static func gradient(
        of parameters: FloatBuffer, on sequences: [Int32], _ settings: RunSettings,
        _ optimizer: InnerOptimizer
    ) -> FloatBuffer {
        let objective = QuadraticObjective(sequenceLength: settings.sequenceLength)
        let gradients = FloatBuffer(count: parameters.count)
        let tokens = sequences.flatMap {
            [Int32](repeating: $0, count: settings.sequenceLength + 1)
        }
        _ = objective.gradients(
            of: parameters, tokens: tokens, sequences: sequences.count, masking: .off,
            into: gradients)
        _ = optimizer.clip(gradients)
        return gradients
    }

    /// Expects a run of the one worker "w0" to end with the parameters and the moments of `steps`
    /// steps of plain training.
    static func expectPlain(
        _ cluster: SimulatedCluster, _ outcome: SimulatedCluster.Outcome, steps: Int = 200,
        location: SourceLocation = #_sourceLocation
    ) throws {
        #expect(outcome.phase == .finished, sourceLocation: location)
        let version = try #require(outcome.record?.version, sourceLocation: location)
        let found = cluster.saved.withLock { $0["w0/\(version)"] }
        let saved = try #require(found, sourceLocation: location)
        let expected = plain(cluster.options.settings, steps: steps, batch: 2)
        #expect(outcome.parameters == expected.parameters, sourceLocation: location)
        #expect(saved.firstMoment.array == expected.first, sourceLocation: location)
        #expect(saved.secondMoment.array == expected.second, sourceLocation: location)
        #expect(saved.steps == steps, sourceLocation: location)
    }

    /// The same of a run of 44 versions that is begun again from its checkpoint of version
    /// `stopAfter`.
    static func expectPlainResumed(
        _ options: SimulatedCluster.Options, after stopAfter: Int,
        location: SourceLocation = #_sourceLocation
    ) throws {
        var options = options
        options.settings.observation.checkpointEvery = stopAfter
        let first = SimulatedCluster(options)
        _ = try first.run()
        let second = try #require(
            first.resumed(from: UInt64(stopAfter)), sourceLocation: location)
        let outcome = try second.run()
        #expect(outcome.record?.version == 44, sourceLocation: location)
        try expectPlain(second, outcome, location: location)
    }

    @Test(
        "T1: one worker, outer lr 1, momentum 0 is plain AdamW after 200 steps",
        arguments: [
            (warmup: 0, interval: 1), (0, 10), (0, 40), (8, 12), (200, 1),
        ])
    func t1(warmup: Int, interval: Int) throws {
        let rounds = warmup + (200 - warmup) / interval
        var options = SimulatedCluster.Options()
        options.workers = ["w0"]
        options.settings = Self.settings(
            rounds: rounds, warmup: warmup, interval: interval, workers: 1)
        let cluster = SimulatedCluster(options)
        let outcome = try cluster.run()
        #expect(outcome.record?.version == UInt64(rounds))
        try Self.expectPlain(cluster, outcome)
    }

    @Test("T1: the same with duplicated and reordered calls")
    func t1Unreliable() throws {
        var options = SimulatedCluster.Options()
        options.workers = ["w0"]
        options.settings = Self.settings(rounds: 44, warmup: 5, interval: 5, workers: 1)
        options.faults.duplication = 0.5
        options.faults.delay = .milliseconds(1)...(.milliseconds(300))
        options.limit = .seconds(3600)
        let cluster = SimulatedCluster(options)
        try Self.expectPlain(cluster, cluster.run())
    }

    @Test("T1: the same with a checkpoint and a restart in the middle", arguments: [3, 5, 12])
    func t1Resumed(stopAfter: Int) throws {
        var options = SimulatedCluster.Options()
        options.workers = ["w0"]
        options.settings = Self.settings(rounds: 44, warmup: 5, interval: 5, workers: 1)
        try Self.expectPlainResumed(options, after: stopAfter)
    }

    @Test("T19: a checkpoint never changes the trajectory", arguments: [RunMode.edit, .aEdit])
    func checkpointsAreHarmless(mode: RunMode) throws {
        func parameters(every: Int) throws -> [Float] {
            var options = SimulatedCluster.Options()
            options.settings = SimulationTests.settings(rounds: 9)
            if mode == .aEdit { options.settings = TimedRoundTests.timed(options.settings) }
            options.settings.observation.checkpointEvery = every
            return try SimulatedCluster(options).run().parameters
        }
        #expect(try parameters(every: 1) == parameters(every: 0))
    }

    @Test("T3: interval 1 with inner SGD and K workers is one worker with a K-fold batch")
    func t3() throws {
        var options = SimulatedCluster.Options()
        options.workers = ["w0", "w1", "w2", "w3"]
        options.settings = Self.settings(rounds: 30, warmup: 0, interval: 1, workers: 4)
        options.settings.inner.method = .sgd
        options.settings.inner.clipNorm = 0
        options.settings.rounds.weighting = .uniform
        let outcome = try SimulatedCluster(options).run()
        let expected = Self.plain(options.settings, steps: 30, batch: 8).parameters
        #expect(Self.relativeDistance(outcome.parameters, expected) < 1e-6)
        // The AdamW version must differ: local steps are averaged, not gradients.
        options.settings.inner.method = .adamw
        let adamW = try SimulatedCluster(options).run()
        let plainAdamW = Self.plain(options.settings, steps: 30, batch: 8).parameters
        #expect(Self.relativeDistance(adamW.parameters, plainAdamW) > 1e-4)
    }

    @Test("In the warm-up K workers with AdamW are one worker with a K-fold batch")
    func warmupAveragesGradients() throws {
        var options = SimulatedCluster.Options()
        options.workers = ["w0", "w1", "w2", "w3"]
        options.settings = Self.settings(rounds: 30, warmup: 30, interval: 1, workers: 4)
        options.settings.inner.clipNorm = 0
        let outcome = try SimulatedCluster(options).run()
        let expected = Self.plain(options.settings, steps: 30, batch: 8).parameters
        #expect(Self.relativeDistance(outcome.parameters, expected) < 1e-5)
    }

    /// Rounds of workers that train by themselves; each begins with the mean of where all ended,
    /// in fp64 and rounded once.
    private static func averaged(_ settings: RunSettings, workers: Int) -> [Float] {
        let (interval, batch) = (settings.rounds.syncInterval, settings.rounds.batchSize)
        var optimizers = (0..<workers).map { _ in
            InnerOptimizer(settings.inner, count: start.count, totalSteps: settings.totalSteps)
        }
        var global = start
        for round in 0..<settings.rounds.total {
            var locals: [[Float]] = []
            for worker in 0..<workers {
                let local = FloatBuffer(global)
                for step in 0..<interval {
                    let first = ((round * workers + worker) * interval + step) * batch
                    let sequences = (first..<first + batch).map { Int32($0) }
                    let gradient = gradient(of: local, on: sequences, settings, optimizers[worker])
                    optimizers[worker].step(
                        local, gradients: gradient, scheduleStep: round * interval + step)
                }
                locals.append(local.array)
            }
            global = start.indices.map { index in
                Float(locals.reduce(0.0) { $0 + Double($1[index]) } / Double(workers))
            }
        }
        return global
    }

    @Test(
        "T2: with outer lr 1, no momentum and equal weights, versions are means of four workers",
        arguments: [RunMode.edit, .aEdit])
    func t2(mode: RunMode) throws {
        var options = SimulatedCluster.Options()
        options.workers = ["w0", "w1", "w2", "w3"]
        options.settings = Self.settings(rounds: 4, warmup: 0, interval: 5, workers: 4)
        options.settings.rounds.weighting = .uniform
        if mode == .aEdit { options.settings = TimedRoundTests.timed(options.settings) }
        let cluster = SimulatedCluster(options)
        let outcome = try cluster.run()
        let plans = TimedRoundTests.merges(cluster)
        #expect(plans.count == 16)
        #expect(plans.allSatisfy { $0.weights.map(\.weight) == [0.25, 0.25, 0.25, 0.25] })
        #expect(outcome.parameters == Self.averaged(options.settings, workers: 4))
    }

    @Test("T2: the order in which contributions arrive changes no bit")
    func t2ArrivalOrder() throws {
        func parameters(_ seed: UInt64) throws -> [Float] {
            var options = SimulatedCluster.Options()
            options.seed = seed
            options.faults.delay = .milliseconds(1)...(.milliseconds(250))
            options.settings = SimulationTests.settings(rounds: 5)
            return try SimulatedCluster(options).run().parameters
        }
        let first = try parameters(1)
        for seed in 2...5 as ClosedRange<UInt64> { #expect(try parameters(seed) == first) }
    }

    @Test("T10: 1, 2, 3 or 5 shard servers give the same bits after 20 rounds")
    func t10() throws {
        func result(_ shards: Int) throws -> SimulatedCluster.Outcome {
            var options = SimulatedCluster.Options()
            options.shards = shards
            options.settings = SimulationTests.settings(rounds: 20)
            return try SimulatedCluster(options).run()
        }
        let one = try result(1)
        for shards in [2, 3, 5] {
            let other = try result(shards)
            #expect(other.parameters == one.parameters)
            #expect(other.momentum == one.momentum)
        }
        #expect(one.momentum.contains { $0 != 0 })
    }

    private static func relativeDistance(_ a: [Float], _ b: [Float]) -> Double {
        let difference = zip(a, b).reduce(0.0) { $0 + Double(($1.0 - $1.1) * ($1.0 - $1.1)) }
        let size = b.reduce(0.0) { $0 + Double($1 * $1) }
        return (difference / size).squareRoot()
    }
}
