internal import Codec
internal import LocalSGD
internal import NIOCore
internal import Tensors
internal import Wire

/// One version of one module, never changed once made: readers keep the one they have while the
/// next is published beside it.
struct ModuleVersion: Sendable {
    let version: UInt64
    /// The global parameters, [n].
    let parameters: FloatBuffer
    /// What workers have of them, [n]; the same ones where pulls are raw, and in the warm-up.
    let shadow: FloatBuffer
    /// The outer optimizer's momentum, [n].
    let momentum: FloatBuffer
    /// In the warm-up: AdamW's moments after this version's step, and the mean gradient it applied.
    let inner: InnerOptimizer?
    let gradient: FloatBuffer?
    let clip: AdaptiveClip
    /// Without rounds: the pushes that momentum waits for, and of how many.
    let delayed: DelayedNesterov.State?
    /// CRC-32C of what workers have.
    let checksum: UInt32

    init(
        version: UInt64, parameters: FloatBuffer, shadow: FloatBuffer, momentum: FloatBuffer,
        clip: AdaptiveClip, inner: InnerOptimizer? = nil, gradient: FloatBuffer? = nil,
        delayed: DelayedNesterov.State? = nil
    ) {
        self.version = version
        self.parameters = parameters
        self.shadow = shadow
        self.momentum = momentum
        self.inner = inner
        self.gradient = gradient
        self.clip = clip
        self.delayed = delayed
        checksum = Checksum.of(shadow)
    }

    /// What a checkpoint keeps of it.
    ///
    /// With the moments of the warm-up there is no shadow besides: nothing is coded there.
    func contents(isShadowed: Bool) -> ModuleContents {
        let moments = inner.flatMap { inner in
            inner.firstMoment.count > 0
                ? ModuleContents.Moments(first: inner.firstMoment, second: inner.secondMoment) : nil
        }
        return ModuleContents(
            parameters: parameters, momentum: momentum, moments: moments,
            pending: moments == nil ? delayed?.pending : nil,
            shadow: isShadowed && moments == nil ? shadow : nil,
            record: ModuleRecord(
                version: version, clip: clip, pushes: delayed?.count ?? 0,
                period: delayed?.period ?? 1))
    }
}

/// One module at a shard server: its current version, one kept for a checkpoint, and the updates
/// held for the open round.
struct ModuleStore: Sendable {
    /// A push that counts.
    struct Held: Sendable {
        let payload: ByteBuffer
        /// What it is about.
        let touched: TouchedRanges
        /// Its decoded norm as ``NormDetector`` judges it.
        let sample: Double
    }

    private(set) var current: ModuleVersion
    private(set) var retained: ModuleVersion?
    /// What workers train from, where there are no rounds.
    var bases = BaseVersions()
    /// What workers are told instead of all parameters.
    var deltas = RecentDeltas()
    private(set) var held: [PushKey: Held] = [:]
    let parts: PartLayout
    let settings: RunSettings
    let pullCodec: Codec

    /// The store of a module that begins, or goes on, at `version`.
    init(_ contents: ModuleContents, version: UInt64, parts: PartLayout, settings: RunSettings) {
        self.settings = settings
        self.parts = parts
        // Settings are checked by whoever joins; a name that nobody knows codes nothing.
        pullCodec = Codec.pulls(settings) ?? .raw
        var inner: InnerOptimizer?
        if let moments = contents.moments, settings.inner.method == .adamw {
            var restored = InnerOptimizer(
                settings.inner, count: contents.parameters.count, totalSteps: settings.totalSteps,
                groups: settings.masks.groups(of: parts))
            restored.firstMoment.copy(from: moments.first)
            restored.secondMoment.copy(from: moments.second)
            restored.restore(steps: Int(version), joinedLate: false)
            inner = restored
        }
        var clip = AdaptiveClip(settings.clip)
        var delayed: DelayedNesterov.State?
        if let record = contents.record {
            if record.clip.settings == clip.settings { clip = record.clip }
            // Momentum that waits for nothing waits for as many as there will be.
            if record.period > 1, let pending = contents.pending {
                delayed = DelayedNesterov.State(
                    global: contents.parameters, momentum: contents.momentum, pending: pending,
                    count: record.pushes, period: record.period)
            }
        }
        current = ModuleVersion(
            version: version, parameters: contents.parameters,
            shadow: pullCodec == .raw
                ? contents.parameters : contents.shadow ?? contents.parameters,
            momentum: contents.momentum, clip: clip, inner: inner, delayed: delayed)
    }

    var count: Int { current.parameters.count }
    var experts: Int { parts.experts }

    /// What is wrong with a push, without trusting its header; and the norm of what it decodes to.
    ///
    /// What is decoded here is decoded again when it is merged: to hold it until then would take a
    /// whole model for every worker (decision 0014).
    func examine(_ push: Push, with codec: Codec) -> (flaw: String?, norm: Double) {
        let header = push.contribution
        guard header.verdict == .sound else {
            return (push.payload.readableBytes == 0 ? nil : "an update that is none", 0)
        }
        do {
            guard let anchor = anchor(of: header.baseVersion) else {
                return ("version \(header.baseVersion), which it starts from, is not here", 0)
            }
            let touched = touched(header)
            let update = DoubleBuffer(count: touched.count)
            try codec.accumulate(
                push.payload, kind: header.kind, anchor: touched.gathered(anchor), weight: 1,
                into: update)
            let norm = update.sumOfSquares.squareRoot()
            // What earlier updates left unsaid comes on top of this one.
            let gain =
                codec.keepsResidual ? ErrorFeedback.gainMax(beta: settings.feedbackDecay) : 1
            let verdict = Penalty.guardVerdict(
                decodedNorm: norm, claimedNorm: gain * header.norm)
            return (verdict.flaw, norm)
        } catch {
            return (error.message, 0)
        }
    }

    mutating func hold(_ push: Push, norm: Double) {
        held[push.contribution.key] = Held(
            payload: push.payload, touched: touched(push.contribution),
            sample: NormDetector.sample(norm: norm, steps: push.contribution.steps))
    }

    private func touched(_ header: Contribution) -> TouchedRanges {
        TouchedRanges(
            parts, kind: header.kind, expertTokens: header.expertTokens,
            training: settings.masks.training)
    }

    /// Keeps the current version until the next one is kept.
    mutating func retainCurrent() { retained = current }

    /// The version asked for, if it is here.
    func version(_ version: UInt64) -> ModuleVersion? {
        if current.version == version { return current }
        return retained?.version == version ? retained : nil
    }

    /// What workers had when an update from `version` began, if it is here: what the update is
    /// taken against, never the parameters that they could not see.
    private func anchor(of version: UInt64) -> FloatBuffer? {
        version == current.version ? current.shadow : bases.parameters(of: version)
    }

    // MARK: Rounds

    /// decode -> weighted mean -> optimizer -> version + 1.
    mutating func merge(_ plan: ShardState.MergePlan) {
        defer { held = [:] }
        let next = plan.opening.baseVersion + 1
        guard !plan.weights.isEmpty else {
            // Nobody contributed: the version counts on, and no parameter changes.
            let isWarmup = plan.opening.kind == .warmup
            current = ModuleVersion(
                version: next, parameters: current.parameters,
                shadow: isWarmup ? current.shadow : shadow(of: current.parameters, at: next),
                momentum: current.momentum, clip: current.clip,
                inner: isWarmup ? current.inner : nil)
            return
        }
        let mean = mean(plan)
        switch plan.opening.kind {
        case .warmup: stepInWarmup(mean, to: next, scheduleStep: plan.opening.scheduleStep)
        case .local: stepOuter(mean, to: next, touching: parts.ranges(plan))
        }
    }

    /// The mean of what is held; each expert's, by the weights of its own.
    private func mean(_ plan: ShardState.MergePlan) -> DoubleBuffer {
        let mean = DoubleBuffer(count: count)
        let counted = plan.weights.indices.filter { plan.weights[$0].weight > 0 }
        let factors =
            plan.opening.kind == .local
            ? Penalty.guardFactors(norms: counted.map { held[plan.weights[$0].key]?.sample ?? 0 })
            : counted.map { _ in 1 }
        if plan.opening.kind == .local, settings.rounds.merge == .radial {
            return radialMean(plan, guards: Dictionary(uniqueKeysWithValues: zip(counted, factors)))
        }
        let hasExperts = !plan.experts.isEmpty
        let update = DoubleBuffer(count: hasExperts ? count : 0)
        for (index, factor) in zip(counted, factors) {
            let key = plan.weights[index].key
            let weight = plan.weights[index].weight * factor
            guard hasExperts else {
                decode(key, plan.opening.kind, current.shadow, weight: weight, into: mean)
                continue
            }
            update.clear()
            decode(key, plan.opening.kind, current.shadow, weight: 1, into: update)
            for piece in parts.pieces {
                let weight = plan.weights(of: piece.part)[index] * factor
                guard weight > 0 else { continue }
                mean[piece.range].add(update[piece.range], weight: weight)
            }
        }
        return mean
    }

    func decode(
        _ key: PushKey, _ kind: RoundKind, _ anchor: FloatBuffer, weight: Double,
        into sum: DoubleBuffer
    ) {
        guard let push = held[key], let codec = Codec(name: settings.codec) else {
            preconditionFailure("an accepted update is not held")
        }
        let touched = push.touched
        let update = touched.isWhole ? sum : DoubleBuffer(count: touched.count)
        do {
            try codec.coding(kind).accumulate(
                push.payload, kind: kind, anchor: touched.gathered(anchor), weight: weight,
                into: update)
            if !touched.isWhole { touched.add(update, to: sum) }
        } catch {
            preconditionFailure("an update that was checked does not decode: \(error)")
        }
    }

    /// The step that all workers take too, with the same bits.
    private mutating func stepInWarmup(_ mean: DoubleBuffer, to next: UInt64, scheduleStep: Int) {
        let gradient = mean.narrowed(scale: 1)
        var inner =
            current.inner
            ?? InnerOptimizer(
                settings.inner, count: count, totalSteps: settings.totalSteps,
                groups: settings.masks.groups(of: parts))
        inner = inner.duplicate()
        let parameters = current.parameters.duplicate()
        inner.step(parameters, gradients: gradient, scheduleStep: scheduleStep)
        current = ModuleVersion(
            version: next, parameters: parameters, shadow: parameters, momentum: current.momentum,
            clip: current.clip, inner: inner, gradient: gradient)
    }

    private mutating func stepOuter(
        _ mean: DoubleBuffer, to next: UInt64, touching ranges: [Range<Int>]
    ) {
        let norm = mean.sumOfSquares.squareRoot()
        var clip = current.clip
        let factor = clip.factor(norm: norm)
        let result = OuterOptimizer(settings.outer).step(
            global: current.parameters, momentum: current.momentum, mean: mean, norm: norm,
            clip: factor, ranges: ranges)
        current = ModuleVersion(
            version: next, parameters: result.global,
            shadow: shadow(of: result.global, at: next), momentum: result.momentum, clip: clip)
    }

    // MARK: Without rounds

    /// decode -> discount -> delayed Nesterov -> version + 1.
    mutating func apply(_ plan: ShardState.PushPlan) {
        defer { held[plan.key] = nil }
        guard let anchor = anchor(of: plan.baseVersion) else {
            preconditionFailure("the base of an accepted update is gone")
        }
        let update = DoubleBuffer(count: count)
        decode(plan.key, .local, anchor, weight: 1, into: update)
        if !plan.experts.isEmpty {
            for piece in parts.pieces {
                update[piece.range].scale(by: plan.factor(of: piece.part))
            }
        }
        let factor = plan.experts.isEmpty ? plan.factor : 1
        let norm = factor * update.sumOfSquares.squareRoot()
        var clip = current.clip
        let bound = clip.factor(norm: norm)
        let before =
            current.delayed
            ?? DelayedNesterov.State(
                global: current.parameters, momentum: current.momentum, workers: plan.workers)
        let after = DelayedNesterov(settings.outer, method: settings.asynchronous.momentum).push(
            before, update: update, factor: factor, norm: norm, clip: bound, workers: plan.workers
        ).state
        current = ModuleVersion(
            version: plan.version, parameters: after.global,
            shadow: shadow(
                of: after.global, at: plan.version, versionsPerRound: plan.workers),
            momentum: after.momentum, clip: clip, delayed: after)
        bases.release(through: plan.baseVersion, by: plan.key.worker)
        let oldest = Staleness.bound(
            workers: plan.workers, perWorker: settings.asynchronous.stalenessFactor)
        bases.release(below: plan.version - min(plan.version, UInt64(oldest)))
    }
}

extension PartLayout {
    /// What a round changes, as few ranges as there can be.
    fileprivate func ranges(_ plan: ShardState.MergePlan) -> [Range<Int>] {
        var ranges: [Range<Int>] = []
        for piece in pieces where plan.weights(of: piece.part).contains(where: { $0 > 0 }) {
            if let last = ranges.last, last.upperBound == piece.range.lowerBound {
                ranges[ranges.count - 1] = last.lowerBound..<piece.range.upperBound
            } else {
                ranges.append(piece.range)
            }
        }
        return ranges
    }
}

extension Checksum {
    /// The checksum of numbers as they lie in memory.
    static func of(_ values: FloatBuffer) -> UInt32 {
        var checksum = Checksum()
        values.withBytes { checksum.update($0) }
        return checksum.value
    }
}
