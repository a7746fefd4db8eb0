internal import Codec
package import LocalSGD
internal import NIOCore
package import Tensors
internal import Wire

/// The numbers of a worker: anchor and local parameters, gradients and the inner optimizer. An
/// actor of its own, so that the worker stays responsive while a step is computed.
package actor LocalTrainer {
    package nonisolated let layout: ParameterLayout
    /// How each module is cut into parts.
    private let parts: [PartLayout]
    let settings: RunSettings
    private let computer: GradientComputer
    /// The parameters as decoded from the last pull.
    let anchor: FloatBuffer
    /// The parameters being trained.
    private let local: FloatBuffer
    private let gradients: FloatBuffer
    /// Where training has gone on from, since it did not wait: the parameters as they were pushed
    /// and, module by module, the version that came in return.
    private(set) var settled: FloatBuffer?
    /// Steps since a round last closed.
    private var taken = StepsTaken()
    /// Whether a step reads the local parameters, which must not change then.
    private var isComputing = false
    /// Modules whose anchor is new and which local has not gone to yet, since a step reads it.
    private var arrived: [Int] = []
    private var waiting: [CheckedContinuation<Void, Never>] = []
    private var optimizer: InnerOptimizer
    /// For each module the tokens that its experts saw since the round began.
    private var routed: [[Int]]
    /// The same of the round that is being pushed.
    private var pushedTokens: [[Int]]
    /// For each module what earlier updates have left unsaid, if the codec leaves anything.
    var feedback: [Int: ErrorFeedback] = [:]

    package init(settings: RunSettings, objective: @Sendable () -> any Objective) {
        self.settings = settings
        computer = GradientComputer(objective)
        let layout = computer.layout
        self.layout = layout
        parts = layout.modules.indices.map { PartLayout(module: $0, of: layout) }
        anchor = FloatBuffer(count: layout.count)
        local = FloatBuffer(count: layout.count)
        gradients = FloatBuffer(count: layout.count)
        routed = layout.modules.map { _ in [] }
        pushedTokens = routed
        optimizer = InnerOptimizer(
            settings.inner, count: layout.count, totalSteps: settings.totalSteps,
            groups: settings.masks.groups(of: layout))
    }

    // MARK: Inner steps

    private func countRouted(_ expertTokens: [[Int]]) {
        for (module, tokens) in expertTokens.enumerated() where !tokens.isEmpty {
            routed[module] =
                routed[module].isEmpty ? tokens : zip(routed[module], tokens).map { $0 + $1 }
        }
    }

    /// One inner step of the local parameters on `tokens`, with `rest` before they change; returns
    /// its loss, and what there is since a round last closed.
    ///
    /// Until they change a round may close, and be pushed, without it. `maskCoefficient` is the
    /// factor of the masks' regulariser, where masks are learnt.
    func step(
        tokens: [Int32], scheduleStep: Int, maskCoefficient: Double = 0,
        rest: @Sendable () async throws -> Void
    ) async throws -> (loss: LossSum, taken: StepsTaken) {
        isComputing = true
        defer { noteComputed() }
        let (loss, found) = await computer.gradients(
            of: local, tokens: tokens, sequences: settings.rounds.batchSize,
            masking: settings.masks.masking(atStep: scheduleStep, maskCoefficient),
            into: gradients)
        try await rest()
        countRouted(found.expertTokens)
        _ = optimizer.clip(gradients)
        optimizer.step(local, gradients: gradients, scheduleStep: scheduleStep)
        taken.steps += 1
        taken.loss += loss
        taken.masks.add(found.masks)
        return (loss, taken)
    }

    private func noteComputed() {
        isComputing = false
        for module in arrived { moveLocal(module) }
        arrived = []
        while !waiting.isEmpty { waiting.removeFirst().resume() }
    }

    /// Returns when no step reads the local parameters.
    private func computed() async {
        while isComputing { await withCheckedContinuation { waiting.append($0) } }
    }

    /// The clipped gradient at the local parameters, kept to be pushed; nothing moves yet.
    func gradientOnly(
        tokens: [Int32], scheduleStep: Int, maskCoefficient: Double
    ) async -> (loss: LossSum, masks: [MaskTally]) {
        let (loss, found) = await computer.gradients(
            of: local, tokens: tokens, sequences: settings.rounds.batchSize,
            masking: settings.masks.masking(atStep: scheduleStep, maskCoefficient),
            into: gradients)
        _ = optimizer.clip(gradients)
        return (loss, found.masks)
    }

    /// The loss of the anchor on held-out tokens, with masks only if the run learns them.
    func evaluate(tokens: [Int32]) async -> LossSum {
        let sequences = tokens.count / (settings.sequenceLength + 1)
        return await computer.loss(
            of: anchor, tokens: tokens, sequences: sequences, masking: settings.masks.measuring)
    }

    // MARK: Out

    /// Ends a round: what follows belongs to the next.
    ///
    /// Where training `goesOn` before the next version is there, its update stays as it is now.
    /// Returns what has been done in it.
    func closeRound(goesOn: Bool) -> StepsTaken {
        pushedTokens = routed
        let closed = beginStretch()
        guard goesOn else {
            settled = nil
            return closed
        }
        let kept = settled ?? FloatBuffer(count: layout.count)
        kept.copy(from: local)
        settled = kept
        return closed
    }

    /// Takes back what was done since the last round closed; the next version is adopted as it is.
    ///
    /// Returns the number of the stretch that begins with it.
    func dropProgress() async -> Int {
        await computed()
        settled = nil
        local.copy(from: anchor)
        return beginStretch().stretch + 1
    }

    /// Begins to count anew; returns what there was.
    private func beginStretch() -> StepsTaken {
        let closed = taken
        taken = StepsTaken(stretch: closed.stretch + 1)
        routed = layout.modules.map { _ in [] }
        return closed
    }

    /// How large the round's update of each module is.
    func norms(_ kind: RoundKind) -> [Double] {
        layout.modules.indices.map { update(of: $0, kind, touched(of: $0, kind)).norm }
    }

    /// What the round made of `module`, encoded; asked again, the same bytes.
    func encodedUpdate(of module: Int, _ plan: RoundPlan, with codec: Codec) -> ByteBuffer {
        let touched = touched(of: module, plan.kind)
        let update = update(of: module, plan.kind, touched)
        // What can't be sent goes as nothing, which its server refuses like any bad update.
        guard codec.keepsResidual else { return (try? codec.encode(update)) ?? ByteBuffer() }
        var residual = feedback[module] ?? fresh(FloatBuffer(count: touched.total))
        let payload = try? residual.payload(
            of: update, touching: touched, round: plan.round, with: codec)
        feedback[module] = residual
        return payload ?? ByteBuffer()
    }

    /// Takes note of what became of the last update of `module`.
    func settle(_ module: Int, _ outcome: PushOutcome) {
        if let verdict = ErrorFeedback.Verdict(outcome) { feedback[module]?.settle(verdict) }
    }

    /// The tokens that each expert of `module` saw in the round.
    func expertTokens(of module: Int) -> [Int] { pushedTokens[module] }

    /// The parameters of `module` that the round's update is about.
    private func touched(of module: Int, _ kind: RoundKind) -> TouchedRanges {
        TouchedRanges(
            parts[module], kind: kind, expertTokens: pushedTokens[module],
            training: settings.masks.training)
    }

    private func update(of module: Int, _ kind: RoundKind, _ touched: TouchedRanges) -> Update {
        let range = layout.modules[module].range
        return switch kind {
        case .warmup: .gradient(gradients[range])
        case .local:
            .pseudoGradient(
                PseudoGradient(
                    anchor: touched.gathered(anchor[range]),
                    local: touched.gathered((settled ?? local)[range])))
        }
    }

    // MARK: In

    /// Makes `parameters` of `module` the anchor, and local what steps since the push make of it,
    /// at once or when the step under way has ended.
    func adopt(_ parameters: FloatBuffer, module: Int) {
        anchor[layout.modules[module].range].copy(from: parameters)
        guard isComputing else { return moveLocal(module) }
        if !arrived.contains(module) { arrived.append(module) }
    }

    private func moveLocal(_ module: Int) {
        let range = layout.modules[module].range
        if let settled {
            local[range].rebase(
                onto: anchor[range], settled: settled[range], keep: settings.overlap.mix.keep)
        } else {
            local[range].copy(from: anchor[range])
        }
    }

    /// Takes the moments that all workers have in the warm-up after `steps` steps.
    func adoptMoments(first: FloatBuffer, second: FloatBuffer, module: Int, steps: Int) {
        guard optimizer.firstMoment.count > 0 else { return }
        let range = layout.modules[module].range
        optimizer.firstMoment[range].copy(from: first)
        optimizer.secondMoment[range].copy(from: second)
        optimizer.restore(steps: steps, joinedLate: false)
    }

    /// Takes the mean gradient of a warm-up round for `module`, to be applied to all at once.
    func collect(meanGradient: FloatBuffer, module: Int) {
        gradients[layout.modules[module].range].copy(from: meanGradient)
    }

    /// The warm-up step that the shard servers have made too; returns the checksum of each module's
    /// new parameters, by which a difference would show.
    func applyMeanGradient(scheduleStep: Int) -> [UInt32] {
        optimizer.step(local, gradients: gradients, scheduleStep: scheduleStep)
        anchor.copy(from: local)
        return layout.modules.map { Checksum.of(anchor[$0.range]) }
    }

    /// Starts with empty moments in the middle of a run.
    func forgetMoments() { optimizer.reset() }

    // MARK: Keeping

    /// A copy of the optimizer's state.
    func savedState() -> SavedOptimizer {
        SavedOptimizer(
            firstMoment: optimizer.firstMoment.duplicate(),
            secondMoment: optimizer.secondMoment.duplicate(), steps: optimizer.steps,
            joinedLate: optimizer.joinedLate, residual: keptResidual)
    }

    /// Goes on from saved state; false if it does not fit this model.
    func restore(_ saved: SavedOptimizer) -> Bool {
        guard saved.firstMoment.count == optimizer.firstMoment.count,
            saved.secondMoment.count == optimizer.secondMoment.count,
            saved.residual.map({ $0.count == layout.count }) ?? true
        else { return false }
        optimizer.firstMoment.copy(from: saved.firstMoment)
        optimizer.secondMoment.copy(from: saved.secondMoment)
        optimizer.restore(steps: saved.steps, joinedLate: saved.joinedLate)
        restoreResidual(saved.residual)
        return true
    }

    /// Local parameters and moments, for tests.
    package func inspect() -> (local: [Float], first: [Float], second: [Float]) {
        (local.array, optimizer.firstMoment.array, optimizer.secondMoment.array)
    }
}

/// Inner steps since a round closed, and their loss.
struct StepsTaken: Sendable, Equatable {
    /// Which of the stretches between two closings they are in, from 0.
    var stretch = 0
    var steps = 0
    var loss = LossSum()
    /// What masks left of each layer with experts, where masks are learnt.
    var masks: [MaskTally] = []
}

extension [MaskTally] {
    /// Adds layer to layer.
    package mutating func add(_ other: [MaskTally]) {
        guard count == other.count else {
            self = isEmpty ? other : self
            return
        }
        for layer in indices { self[layer] += other[layer] }
    }
}
