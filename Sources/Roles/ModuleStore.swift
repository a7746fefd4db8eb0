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
    /// The outer optimizer's momentum, [n].
    let momentum: FloatBuffer
    /// In the warm-up: AdamW's moments after this version's step, and the mean gradient it applied.
    let inner: InnerOptimizer?
    let gradient: FloatBuffer?
    /// CRC-32C of the parameters.
    let checksum: UInt32

    /// What a checkpoint keeps of it.
    var contents: ModuleContents {
        let moments = inner.flatMap { inner in
            inner.firstMoment.count > 0
                ? ModuleContents.Moments(first: inner.firstMoment, second: inner.secondMoment) : nil
        }
        return ModuleContents(parameters: parameters, momentum: momentum, moments: moments)
    }

    init(
        version: UInt64, parameters: FloatBuffer, momentum: FloatBuffer,
        inner: InnerOptimizer? = nil, gradient: FloatBuffer? = nil
    ) {
        self.version = version
        self.parameters = parameters
        self.momentum = momentum
        self.inner = inner
        self.gradient = gradient
        checksum = Checksum.of(parameters)
    }
}

/// One module at a shard server: its current version, one kept for a checkpoint, and the updates
/// held for the open round.
struct ModuleStore: Sendable {
    private(set) var current: ModuleVersion
    private(set) var retained: ModuleVersion?
    private var held: [PushKey: ByteBuffer] = [:]
    private let settings: RunSettings

    init(_ initial: ModuleVersion, settings: RunSettings) {
        current = initial
        self.settings = settings
    }

    /// The store of a module that begins, or goes on, at `version`.
    init(_ contents: ModuleContents, version: UInt64, settings: RunSettings) {
        var inner: InnerOptimizer?
        if let moments = contents.moments, settings.inner.method == .adamw {
            var restored = InnerOptimizer(
                settings.inner, count: contents.parameters.count, totalSteps: settings.totalSteps)
            restored.firstMoment.copy(from: moments.first)
            restored.secondMoment.copy(from: moments.second)
            restored.restore(steps: Int(version), joinedLate: false)
            inner = restored
        }
        self.init(
            ModuleVersion(
                version: version, parameters: contents.parameters, momentum: contents.momentum,
                inner: inner),
            settings: settings)
    }

    var count: Int { current.parameters.count }

    mutating func hold(_ payload: ByteBuffer, for key: PushKey) { held[key] = payload }

    /// Keeps the current version until the next one is kept.
    mutating func retainCurrent() { retained = current }

    /// The version asked for, if it is here.
    func version(_ version: UInt64) -> ModuleVersion? {
        if current.version == version { return current }
        return retained?.version == version ? retained : nil
    }

    /// decode -> weighted mean -> optimizer -> version + 1.
    mutating func merge(_ plan: ShardState.MergePlan) {
        defer { held = [:] }
        let next = plan.opening.baseVersion + 1
        guard !plan.weights.isEmpty else {
            // Nobody contributed: the version counts on and nothing else changes.
            current = ModuleVersion(
                version: next, parameters: current.parameters, momentum: current.momentum,
                inner: current.inner, gradient: nil)
            return
        }
        let mean = DoubleBuffer(count: count)
        for (key, weight) in plan.weights {
            guard let payload = held[key], let codec = Codec(name: settings.codec) else {
                preconditionFailure("an accepted update is not held")
            }
            do {
                try codec.accumulate(
                    payload, kind: plan.opening.kind, anchor: current.parameters, weight: weight,
                    into: mean)
            } catch {
                preconditionFailure("an update that was checked does not decode: \(error)")
            }
        }
        switch plan.opening.kind {
        case .warmup: stepInWarmup(mean, to: next, scheduleStep: plan.opening.scheduleStep)
        case .local: stepOuter(mean, to: next)
        }
    }

    /// The step that all workers take too, with the same bits.
    private mutating func stepInWarmup(_ mean: DoubleBuffer, to next: UInt64, scheduleStep: Int) {
        let gradient = mean.narrowed(scale: 1)
        var inner =
            current.inner
            ?? InnerOptimizer(settings.inner, count: count, totalSteps: settings.totalSteps)
        inner = inner.duplicate()
        let parameters = current.parameters.duplicate()
        inner.step(parameters, gradients: gradient, scheduleStep: scheduleStep)
        current = ModuleVersion(
            version: next, parameters: parameters, momentum: current.momentum, inner: inner,
            gradient: gradient)
    }

    private mutating func stepOuter(_ mean: DoubleBuffer, to next: UInt64) {
        let result = OuterOptimizer(settings.outer).step(
            global: current.parameters, momentum: current.momentum, mean: mean)
        current = ModuleVersion(
            version: next, parameters: result.global, momentum: result.momentum)
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
