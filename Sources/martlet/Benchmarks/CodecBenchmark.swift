import Codec
import LocalSGD
import Tensors

/// Measures what a codec costs on the wire and in time, on updates of one module, coded as workers
/// code them: with error feedback if the codec keeps a residual, else each update by itself.
///
/// The updates are either those that a file's numbers make, or synthetic. Then they imitate what
/// AdamW does to a matrix with 1024 columns: each number is a Student t of four degrees of freedom
/// (heavy tails) times a factor of its row, exp(N), and of its column, exp(N / 2), N being standard
/// normal; or plain Gaussian, which has no structure that a codec could find.
struct CodecBenchmark {
    /// What the synthetic numbers are like.
    enum Distribution: String, CaseIterable, Sendable {
        case heavy
        case gaussian
    }

    /// What to measure.
    struct Plan: Sendable {
        var codec: Codec
        var elements: Int
        var threads: Int
        var distribution = Distribution.heavy
        /// Rounds of error feedback before the one that is measured; a codec without a residual has
        /// none, since its rounds are all alike.
        var rounds = 8
        /// Numbers to use as an update instead of synthetic ones.
        var update: FloatBuffer?
        /// How long a speed is measured, but never fewer than three runs.
        var timePerSpeed = Duration.milliseconds(500)
    }

    /// What was measured.
    ///
    /// Speeds are bytes of fp32 numbers in 10^9 a second, of the fastest of some runs.
    struct Result: Encodable, Sendable {
        var codec: String
        var distribution: String
        var elements: Int
        var threads: Int
        var instructionSet: String
        /// Everything counted: of the update after `rounds` rounds with error feedback, or, of a
        /// codec without a residual, of any.
        var bitsPerParameter = 0.0
        /// The same of the first update, before which nothing was left.
        var bitsPerParameterFirst = 0.0
        /// Of an update without a residual: what is not said, of what there is.
        var relativeSquaredError = 0.0
        /// From both ends of an update, and from a residual to the next one where the codec keeps
        /// one, to a payload.
        var encodeGbPerS = 0.0
        /// From a payload to a weighted sum in fp64.
        var decodeGbPerS = 0.0
        /// Checking a payload on arrival.
        var checkGbPerS = 0.0
        /// The residual's update and the selection alone, on one thread; 0 if there is none.
        var selectGbPerS = 0.0
        /// The same for an update that is one array, a gradient.
        var selectGradientGbPerS = 0.0
        /// Quantizing alone, on one thread; 0 if there is none.
        var quantizeGbPerS = 0.0
        var dequantizeGbPerS = 0.0
    }

    private let plan: Plan
    private let count: Int
    private let base: FloatBuffer
    private let clock = ContinuousClock()

    init(_ plan: Plan) {
        self.plan = plan
        base = plan.update ?? Self.synthetic(plan.distribution, count: plan.elements)
        count = base.count
    }

    func run() throws -> Result {
        KernelThreads.set(plan.threads)
        defer { KernelThreads.stop() }
        var result = Result(
            codec: plan.codec.name,
            distribution: plan.update == nil ? plan.distribution.rawValue : "file",
            elements: count, threads: plan.threads,
            instructionSet: KernelThreads.instructionSet)
        let anchor = Self.synthetic(.gaussian, count: count)
        try measureFirst(anchor: anchor, into: &result)
        try measureCoding(anchor: anchor, into: &result)
        measureKernels(anchor: anchor, into: &result)
        return result
    }

    // MARK: Parts

    private func measureFirst(anchor: FloatBuffer, into result: inout Result) throws {
        let update = update(anchor: anchor, round: 0)
        let payload = try plan.codec.encode(.pseudoGradient(update))
        result.bitsPerParameterFirst = bits(Codec.byteCount(of: payload))
        let sum = DoubleBuffer(count: count)
        try plan.codec.accumulate(
            payload, kind: .local, anchor: anchor, weight: -1, into: sum)
        var error = 0.0
        var size = 0.0
        for index in 0..<count {
            let exact = Double(anchor[index]) - Double(update.local[index])
            size += exact * exact
            error += (exact + sum[index]) * (exact + sum[index])
        }
        result.relativeSquaredError = size == 0 ? 0 : error / size
    }

    /// What `LocalTrainer` does with an update, and its shard server with the payload.
    private func measureCoding(anchor: FloatBuffer, into result: inout Result) throws {
        let codec = plan.codec
        let hasResidual = codec.keepsResidual
        let rounds = hasResidual ? plan.rounds : 0
        var feedback = ErrorFeedback(count: hasResidual ? count : 0)
        for round in 0..<rounds {
            _ = try feedback.encode(
                .pseudoGradient(update(anchor: anchor, round: round)), with: codec)
            feedback.settle(.applied)
        }
        let last = Update.pseudoGradient(update(anchor: anchor, round: rounds))
        let payload = try hasResidual ? feedback.encode(last, with: codec) : codec.encode(last)
        feedback.settle(.discarded)
        result.bitsPerParameter = bits(Codec.byteCount(of: payload))
        result.encodeGbPerS = try best {
            if hasResidual {
                _ = try feedback.encode(last, with: codec)
                feedback.settle(.discarded)
            } else {
                _ = try codec.encode(last)
            }
        }
        let sum = DoubleBuffer(count: count)
        result.decodeGbPerS = try best {
            try plan.codec.accumulate(
                payload, kind: .local, anchor: anchor, weight: 0.5, into: sum)
        }
        result.checkGbPerS = try best { try plan.codec.check(payload, count: count) }
    }

    private func measureKernels(anchor: FloatBuffer, into result: inout Result) {
        switch plan.codec {
        case .raw: break
        case .topK(let kept):
            let next = FloatBuffer(count: count)
            let local = update(anchor: anchor, round: 0).local
            result.selectGbPerS = best {
                _ = TopKSelection(
                    Feedback(beta: 0.95, residual: base, anchor: anchor, local: local), kept: kept,
                    next: next)
            }
            result.selectGradientGbPerS = best {
                _ = TopKSelection(
                    Feedback(beta: 0.95, residual: anchor, anchor: base), kept: kept, next: next)
            }
        case .dense(let format, _):
            let bytes = Buffer<UInt8>(count: format.byteCount(of: count))
            result.quantizeGbPerS = best { format.quantize(base, at: 0, of: count, to: bytes) }
            let values = FloatBuffer(count: count)
            result.dequantizeGbPerS = best {
                format.dequantize(bytes, at: 0, of: count, to: values)
            }
        }
    }

    /// The update of a round: half of it is every round's, half the same numbers elsewhere.
    private func update(anchor: FloatBuffer, round: Int) -> PseudoGradient {
        let local = FloatBuffer(count: count)
        let shift = count == 0 ? 0 : round * 40_009 % count
        for index in 0..<count {
            let other = index + shift < count ? index + shift : index + shift - count
            let step = round == 0 ? base[index] : 0.5 * (base[index] + base[other])
            local[index] = anchor[index] - step
        }
        return PseudoGradient(anchor: anchor, local: local)
    }

    private func bits(_ byteCount: Int) -> Double { 8 * Double(byteCount) / Double(max(count, 1)) }

    /// GB/s of the fastest of at least three runs.
    private func best(_ body: () throws -> Void) rethrows -> Double {
        var best = 0.0
        let end = clock.now.advanced(by: plan.timePerSpeed)
        var runs = 0
        while runs < 3 || clock.now < end {
            let start = clock.now
            try body()
            let seconds = start.duration(to: clock.now).seconds
            best = max(best, 4e-9 * Double(count) / seconds)
            runs += 1
        }
        return best
    }

    // MARK: Numbers

    private static let columns = 1024

    /// The same numbers in every run, of about 0.001 in size.
    private static func synthetic(_ distribution: Distribution, count: Int) -> FloatBuffer {
        var normal = NormalNumbers(seed: 1)
        let numbers = FloatBuffer(count: count)
        let columnFactors = (0..<columns).map { _ in normal.logNormal(0.5) }
        var row = 1.0
        for index in 0..<count {
            guard distribution == .heavy else {
                numbers[index] = Float(1e-3 * normal.next())
                continue
            }
            if index % columns == 0 { row = normal.logNormal(1) }
            let factor = 1e-3 * row * columnFactors[index % columns]
            numbers[index] = Float(factor * normal.student4())
        }
        return numbers
    }
}
