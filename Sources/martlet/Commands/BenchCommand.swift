import ArgumentParser
import FoundationEssentials
import Tensors

struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract: "Measures how fast this machine computes, and how well methods train.",
        discussion: """
            The pages docs/convergence.md, docs/beam.md and docs/timeline.md come from here, and \
            most figures of docs/performance.md. With --json the last line of output is one JSON \
            object.
            """,
        subcommands: [
            BenchTrainCommand.self, BenchDecodeCommand.self, BenchKernelsCommand.self,
            BenchCodecCommand.self, BenchConvergenceCommand.self, BenchTimelineCommand.self,
            BenchBeamCommand.self,
        ])
}

struct BenchTrainCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "train",
        abstract: "Times whole training steps (forward, backward, AdamW) on random tokens.")

    @Option(help: "The model: tiny (9.2 M parameters) or small (111 M).")
    var size: TrainBenchmark.Size = .tiny

    @Option(help: "What weights and activations are made of: fp32 or bf16.")
    var dtype: Precision = .fp32

    @Option(help: "Threads that compute.")
    var threads = ProcessorCount.available

    @Option(help: "Steps that are measured, after two that are not.")
    var steps = 10

    @Option(help: "Sequences a step.")
    var batch: Int?

    @Option(help: "Tokens a sequence.")
    var sequence: Int?

    @Flag(help: "Keep less of the forward pass and compute it again in the backward pass.")
    var recompute = false

    @Flag(help: "Print JSON.")
    var json = false

    func validate() throws {
        try Bounds.from(1, to: Double(KernelThreads.countMax)).check("--threads", threads)
        try Bounds.from(1, to: 100_000).check("--steps", steps)
        if let batch { try Bounds.from(1, to: 4096).check("--batch", batch) }
        if let sequence { try Bounds.from(1, to: 4096).check("--sequence", sequence) }
    }

    func run() throws {
        let plan = TrainBenchmark.Plan(
            size: size, precision: dtype, threads: threads, steps: steps, batch: batch,
            sequence: sequence, recomputes: recompute)
        let report = TrainReport(plan, TrainBenchmark(plan).run())
        if json {
            Terminal.printLine(try report.jsonLine())
            return
        }
        func whole(_ value: Double) -> String { plain(value.rounded()) }
        Terminal.printLine(
            """
            \(report.size), \(report.dtype), \(threads) threads: \
            \(whole(report.tokensPerS)) tokens/s, \(whole(report.gflops)) GFLOP/s
            forward \(whole(report.forwardMs)) ms, backward \(whole(report.backwardMs)) ms, \
            optimizer \(whole(report.optimizerMs)) ms
            \(report.parameters) parameters, \(report.peakRssBytes >> 20) MiB at most, \
            \(report.activationBytes >> 20) MiB of them activations
            """)
    }
}

struct BenchKernelsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "kernels",
        abstract: "Times products and attention beside the processor's limit.")

    @Option(help: "Threads that compute.")
    var threads = ProcessorCount.available

    @Flag(help: "Print JSON.")
    var json = false

    func validate() throws {
        try Bounds.from(1, to: Double(KernelThreads.countMax)).check("--threads", threads)
    }

    func run() throws {
        var result = KernelBenchmark(threads: threads).run()
        result.peakRssBytes = ProcessMemory.peakBytes
        if json {
            Terminal.printLine(try result.jsonLine())
            return
        }
        for (dtype, peak) in result.peakGflops.sorted(by: { $0.key < $1.key }) {
            Terminal.printLine("\(dtype): limit \(plain(peak.rounded())) GFLOP/s")
        }
        for row in result.operations {
            Terminal.printLine(
                "\(row.dtype)  \(row.name), \(row.rows) rows: \(plain(row.gflops.rounded()))"
                    + " GFLOP/s, \(plain((100 * row.ofPeak).rounded())) %")
        }
    }
}

extension TrainBenchmark.Size: ExpressibleByArgument {}

/// What the machine offers.
enum ProcessorCount {
    /// Processors that are not switched off, within what kernels can use.
    static var available: Int { min(max(ProcessInfo.processInfo.activeProcessorCount, 1), 1024) }
}

extension Bounds {
    /// Throws unless `value` of the option `name` is within the bounds.
    func check(_ name: String, _ value: Int) throws { try check(name, Double(value)) }

    func check(_ name: String, _ value: Double) throws {
        guard contains(value) else {
            throw ValidationError("\(name): found \(plain(value)), allowed is \(allowed)")
        }
    }
}
