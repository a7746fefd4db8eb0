import Cluster
import Distributed
import LocalSGD
import Logging
import MoE
import Roles
import Storage
import Synchronization
import Tensors
import Wire

/// Trains one model with one method, in virtual time: the production roles, in a simulation in
/// which a step takes what its worker's machine says and each byte what its node's line says.
///
/// The gradients are real; only time is not. Measuring takes none.
struct ConvergenceRun: Sendable {
    let plan: ConvergencePlan
    let run: ConvergenceCase
    let seed: UInt64
    let tokens: TokenSource

    /// Between two looks at how far the run is.
    private static let lookEvery: Duration = .seconds(1)
    /// No run takes as long as that.
    private static let limit: Duration = .seconds(3_000_000)

    /// Runs to the end; `progress` is told of tokens trained on.
    func result(
        progress: @escaping @Sendable (_ tokens: Int) -> Void = { _ in }
    ) throws -> ConvergenceResult {
        let simulation = Simulation(seed: seed)
        var faults = SimulatedNetwork.Faults()
        faults.delay = .zero ... .zero
        let network = SimulatedNetwork(simulation, faults: faults)
        let names = (0..<plan.workers).map { "w\($0)" }
        for node in names.map({ NodeID(role: .worker, name: $0) })
            + (0..<plan.shards).map({ NodeID(role: .shard, name: "s\($0)") })
        {
            network.connect(node, by: link)
        }
        let times = names.indices.map { index in
            StepTimes(
                plan.machine(index, under: run.condition),
                seed: seed &* 1_000_003 &+ UInt64(index))
        }
        let gauge = LossGauge(plan, tokens)
        let settings = try run.settings(plan, seed: seed)
        let last = LastVersion(layout: plan.model.layout)
        let model = try plan.model.configurationJSON()
        let cluster = ClusterSimulation(
            simulation, network,
            cast: .init(
                shards: plan.shards, workers: names,
                coordinator: coordinator(
                    settings, String(decoding: model, as: UTF8.self), keeping: last, on: simulation)
            ) { name, incarnation in
                var environment = worker(name, incarnation, on: simulation)
                if let index = names.firstIndex(of: name) {
                    environment.pace = .stepTimes(times[index])
                }
                return environment
            })
        let ending = try cluster.run(limit: Self.limit) {
            try await follow(cluster, gauge, on: simulation, progress)
        }
        guard ending.phase == .finished, let record = last.record else {
            throw CommandError(.defect, "\(run.name), seed \(seed) ended as \(ending.phase)")
        }
        return summary(record, last.parameters, gauge) { index in
            let (node, total) = (NodeID(role: .worker, name: names[index]), times[index].total)
            let traffic = network.traffic(of: node)
            return ConvergenceResult.Worker(
                name: names[index], steps: total.steps, busySeconds: total.busy.inSeconds,
                bytesUp: traffic.up, bytesDown: traffic.down)
        }
    }

    /// Measures the global parameters whenever another part of the budget is used up.
    private func follow(
        _ cluster: ClusterSimulation, _ gauge: LossGauge, on clock: Simulation,
        _ progress: @Sendable (Int) -> Void
    ) async throws {
        let layout = plan.model.layout
        let parameters = FloatBuffer(count: layout.count)
        var parts = -1
        while true {
            let status = await cluster.coordinator.whenLocal { $0.status() }
            let trained = Int(status?.tokens ?? 0)
            progress(trained)
            let part = trained * plan.curvePoints / plan.tokens
            if part > parts, await cluster.copyParameters(layout, to: parameters) {
                parts = part
                gauge.note(parameters, tokens: trained, seconds: clock.now.inSeconds)
            }
            try await clock.sleep(for: Self.lookEvery)
        }
    }

    private func summary(
        _ record: RunRecord, _ parameters: FloatBuffer, _ gauge: LossGauge,
        _ worker: (Int) -> ConvergenceResult.Worker
    ) -> ConvergenceResult {
        let history = record.history
        let seconds = history.points.last?.seconds ?? 0
        // What was looked at while the run was ending is no step on the way.
        let curve = gauge.curve.filter { $0.seconds < seconds }
        gauge.note(parameters, tokens: history.appliedTokens, seconds: seconds)
        let last = gauge.curve.suffix(1)
        let rounds = record.settings.rounds
        let warmup =
            rounds.warmup < rounds.total
            ? history.points.last { $0.round < rounds.warmup } : nil
        return ConvergenceResult(
            plan: plan, run: run, seed: seed, parameters: parameters.count,
            heldOutLoss: last.first?.loss ?? .infinity, appliedTokens: history.appliedTokens,
            lostTokens: history.lostTokens, seconds: seconds, warmupTokens: warmup?.tokens ?? 0,
            warmupSeconds: warmup?.seconds ?? 0,
            appliedContributions: history.appliedContributions,
            missedContributions: history.missedContributions,
            workers: (0..<plan.workers).map(worker), curve: curve + last)
    }

    private var link: SimulatedLink {
        let latency: Duration = .seconds(plan.latencySeconds)
        return run.condition == .even
            ? SimulatedLink(latency: latency) : .megabits(plan.linkMegabits, latency: latency)
    }
}

// MARK: - Environments

extension ConvergenceRun {
    private static let logger = Logger(label: "convergence") { _ in SwiftLogNoOpLogHandler() }

    private func coordinator(
        _ settings: RunSettings, _ model: String, keeping last: LastVersion,
        on clock: Simulation
    ) -> CoordinatorEnvironment {
        let (configuration, layout) = (plan.model, plan.model.layout)
        return CoordinatorEnvironment(
            runID: "convergence", runName: run.name, settings: settings, model: model,
            layout: layout, shardCount: plan.shards, clock: clock,
            logger: Self.logger,
            sequences: .init(
                fingerprint: tokens.fingerprint, heldOutCount: 0,
                training: { lease in lease.runs.flatMap { tokens.sequences($0) } },
                heldOut: { _ in [] }),
            origin: .init { module in
                let count = layout.modules[module].range.count
                let fresh = FloatBuffer(count: count)
                configuration.initialize(module: module, in: fresh, layout: layout, seed: seed)
                return ModuleContents(parameters: fresh, momentum: FloatBuffer(count: count))
            },
            keeper: .init { _ in last })
    }

    private func worker(
        _ name: String, _ incarnation: UInt64, on clock: Simulation
    ) -> WorkerEnvironment {
        let isCorrupted =
            name == "w\(plan.workers - 1)"
            && ConvergenceMethod.named(run.method)?.isCorrupted == true
        return WorkerEnvironment(
            coordinator: ClusterSimulation.coordinatorAddress, incarnation: incarnation,
            clock: clock, logger: Self.logger
        ) { settings, _ in
            LocalTrainer(settings: settings) {
                let objective = plan.objective(batch: settings.rounds.batchSize)
                return isCorrupted ? RandomTokens(objective, seed: seed) : objective
            }
        }
    }
}

/// Takes the last version of a run.
private final class LastVersion: KeptVersion {
    private let layout: ParameterLayout
    let parameters: FloatBuffer
    private let kept = Mutex<RunRecord?>(nil)

    init(layout: ParameterLayout) {
        self.layout = layout
        parameters = FloatBuffer(count: layout.count)
    }

    var record: RunRecord? { kept.withLock { $0 } }

    func append(module: Int, _ contents: ModuleContents) async throws {
        parameters[layout.modules[module].range].copy(from: contents.parameters)
    }

    func finish(_ record: RunRecord) async throws -> String {
        kept.withLock { $0 = record }
        return "memory"
    }

    func abandon() async {}
}
