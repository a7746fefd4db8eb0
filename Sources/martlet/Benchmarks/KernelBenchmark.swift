import MoE
import Tensors

/// Times products and attention in memory of their own, beside the processor's limit.
struct KernelBenchmark {
    /// One operation as measured.
    struct Row: Encodable, Sendable {
        var name: String
        var dtype: String
        /// Rows of the product, or tokens of a sequence.
        var rows: Int
        var gflops: Double
        /// Share of the limit that was measured beside it.
        var ofPeak: Double
    }

    /// The limit and all rows.
    struct Result: Encodable, Sendable {
        var threads: Int
        var instructionSet: String
        /// By type, in GFLOP/s.
        var peakGflops: [String: Double] = [:]
        var operations: [Row] = []
        var peakRssBytes = 0
    }

    /// Width of the experts' projections, which so stay in a core's second-level cache.
    private static let width = 512
    private static let rows = [1, 2, 4, 8, 16, 64, 256, 2048]

    let threads: Int
    private let clock = ContinuousClock()

    init(threads: Int) { self.threads = threads }

    func run() -> Result {
        KernelThreads.set(threads)
        defer { KernelThreads.stop() }
        var result = Result(threads: threads, instructionSet: KernelThreads.instructionSet)
        measure(Float.self, "fp32", into: &result)
        measure(BFloat16.self, "bf16", into: &result)
        return result
    }

    private func measure<Element: KernelElement>(
        _: Element.Type, _ dtype: String, into result: inout Result
    ) {
        let peak = best { KernelThreads.spend(Element.self, rounds: 4) }
        result.peakGflops[dtype] = peak
        let width = Self.width
        let weight = Buffer<Element>(count: width * width)
        let packed = PackedWeight(weight, inputs: width, outputs: width)
        let operations = Element.operations
        func record(_ name: String, rows: Int, flops: Double, _ body: () -> Void) {
            let gflops = best {
                body()
                return flops
            }
            result.operations.append(
                Row(
                    name: name, dtype: dtype, rows: rows, gflops: gflops,
                    ofPeak: peak == 0 ? 0 : gflops / peak))
        }
        for M in Self.rows {
            let (x, y) = (Buffer<Element>(count: M * width), Buffer<Element>(count: M * width))
            let dw = Buffer<Element.Sum>(count: width * width)
            let flops = 2 * Double(M * width * width)
            record("expert product, packed weight", rows: M, flops: flops) {
                operations.linear(rows: M, x: x, w: packed, y: y)
            }
            record("expert product", rows: M, flops: flops) {
                operations.linear(rows: M, inputs: width, outputs: width, x: x, w: weight, y: y)
            }
            record("its gradients", rows: M, flops: 2 * flops) {
                operations.linearBackward(
                    rows: M, inputs: width, outputs: width, x: x, w: weight, dy: y, dx: x, dw: dw)
            }
        }
        measureAttention(Element.self, record)
    }

    /// Four sequences of eight heads of 64, four of them for keys: causal, so half of all pairs.
    private func measureAttention<Element: KernelElement>(
        _: Element.Type, _ record: (String, Int, Double, () -> Void) -> Void
    ) {
        for T in [512, 2048] {
            let shape = AttentionShape(
                batch: 4, tokens: T, heads: 8, keyValueHeads: 4, headWidth: 64, scale: 0.125)
            let (q, out) = (
                Buffer<Element>(count: shape.queryCount), Buffer<Element>(count: shape.outputCount)
            )
            let (k, v) = (
                Buffer<Element>(count: shape.keyCount), Buffer<Element>(count: shape.valueCount)
            )
            let logSumExp = Buffer<Element.Sum>(count: shape.logSumExpCount)
            let product = Double(shape.queryCount * T)
            record("attention", T, 2 * product) {
                Element.operations.attention(
                    shape, q: q, k: k, v: v, out: out, logSumExp: logSumExp)
            }
            let (dq, dk, dv) = (q.duplicate(), k.duplicate(), v.duplicate())
            record("its gradients", T, 5 * product) {
                Element.operations.attentionBackward(
                    shape, q: q, k: k, v: v, out: out, logSumExp: logSumExp, dout: out, dq: dq,
                    dk: dk, dv: dv)
            }
        }
    }

    /// GFLOP/s of the fastest of many calls that return their operations, tried for a fifth of a
    /// second.
    private func best(_ body: () -> Double) -> Double {
        var best = 0.0
        let end = clock.now.advanced(by: .milliseconds(200))
        var calls = 0
        while calls < 5 || clock.now < end {
            let start = clock.now
            let flops = body()
            best = max(best, flops / start.duration(to: clock.now).seconds * 1e-9)
            calls += 1
        }
        return best
    }
}
