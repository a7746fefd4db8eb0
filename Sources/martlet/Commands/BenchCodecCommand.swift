import ArgumentParser
import Codec
import Storage
import Tensors

struct BenchCodecCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "codec",
        abstract: "Measures what a codec of updates needs on the wire and in time.",
        discussion: """
            Updates are synthetic (heavy: Student t numbers, with factors of rows and columns; \
            gaussian: without structure) or, with --input, the numbers of a file; with --base \
            too, what lies between two files. They are coded as workers code them: by topk, \
            which keeps what it leaves out, with error feedback, and by all others without. \
            Speeds are bytes of fp32 parameters.
            """)

    @Option(help: "raw, bf16, int8, int4, fp4, each also with /plain; topk or topk/KEPT of 4096.")
    var codec: Codec = .topKUp

    @Option(help: "Parameters of the module.")
    var elements = 16 << 20

    @Option(help: "Threads that code.")
    var threads = 1

    @Option(help: "What synthetic updates are like: heavy or gaussian.")
    var distribution: CodecBenchmark.Distribution = .heavy

    @Option(help: "Rounds of error feedback before the one that is measured, of topk.")
    var rounds = 8

    @Option(help: "A safetensors file whose numbers are the update, at most --elements of them.")
    var input: String?

    @Option(help: "A safetensors file with the same tensors, from which --input is subtracted.")
    var base: String?

    @Flag(help: "Print JSON.")
    var json = false

    func validate() throws {
        try Bounds.from(1, to: Double(KernelThreads.countMax)).check("--threads", threads)
        try Bounds.from(1, to: Double(1 << 28)).check("--elements", elements)
        try Bounds.from(0, to: 1000).check("--rounds", rounds)
        if base != nil, input == nil { throw ValidationError("--base: needs --input beside it") }
    }

    /// What the options ask for.
    func plan() throws -> CodecBenchmark.Plan {
        CodecBenchmark.Plan(
            codec: codec, elements: elements, threads: threads, distribution: distribution,
            rounds: rounds, update: try input.map(update))
    }

    func run() throws {
        let result = try CodecBenchmark(plan()).run()
        if json {
            Terminal.printLine(try result.jsonLine())
            return
        }
        func places(_ value: Double, _ factor: Double) -> String {
            plain((value * factor).rounded() / factor)
        }
        Terminal.printLine(
            """
            \(result.codec), \(result.elements) parameters (\(result.distribution)), \
            \(result.threads) threads: \(places(result.bitsPerParameter, 1e4)) bits a parameter, \
            squared error \(places(result.relativeSquaredError, 1e4))
            encode \(places(result.encodeGbPerS, 100)) GB/s, \
            decode \(places(result.decodeGbPerS, 100)) GB/s, \
            check \(places(result.checkGbPerS, 100)) GB/s
            """)
        switch codec {
        case .raw: break
        case .topK:
            Terminal.printLine(
                "selection \(places(result.selectGbPerS, 100)) GB/s, of a gradient"
                    + " \(places(result.selectGradientGbPerS, 100)) GB/s")
        case .dense:
            Terminal.printLine(
                "quantizer \(places(result.quantizeGbPerS, 100)) GB/s, back"
                    + " \(places(result.dequantizeGbPerS, 100)) GB/s")
        }
    }

    /// The numbers of the file at `path`, less those of --base, tensor by tensor.
    private func update(path: String) throws -> FloatBuffer {
        let file = try SafetensorsFile(path: path)
        let other = try base.map { try SafetensorsFile(path: $0) }
        var numbers: [FloatBuffer] = []
        var count = 0
        for tensor in file.header.tensors where tensor.type.isReadAsFloats && count < elements {
            var values = try file.floats(tensor.name)
            if let other {
                let start = try other.floats(tensor.name)
                guard start.count == values.count else {
                    throw ValidationError(
                        "--base: \(tensor.name) has \(start.count) numbers, not \(values.count)")
                }
                let difference = FloatBuffer(count: values.count)
                Feedback(anchor: start, local: values).write(to: difference)
                values = difference
            }
            let some = values[0..<min(values.count, elements - count)]
            numbers.append(some)
            count += some.count
        }
        let update = FloatBuffer(count: count)
        var first = 0
        for part in numbers {
            update[first..<first + part.count].copy(from: part)
            first += part.count
        }
        guard count > 0, update.isModerate else {
            throw ValidationError("--input: \(path) has no numbers, or such as can't be sent")
        }
        return update
    }
}

extension CodecBenchmark.Distribution: ExpressibleByArgument {}

extension Codec: ExpressibleByArgument {
    init?(argument: String) { self.init(name: argument) }

    var defaultValueDescription: String { name }
}
