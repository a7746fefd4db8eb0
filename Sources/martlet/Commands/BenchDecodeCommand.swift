import ArgumentParser
import MoE
import Tensors

struct BenchDecodeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "decode",
        abstract: "Times greedy decoding, by plain top-k or with expert masks.",
        discussion: """
            Steps of a few tokens each, one for every sequence of the batch, behind prompts of \
            random tokens or of a text. With --routing beam, plain top-k and decoding without any \
            expert are timed in turns with it, and the speed-up is compared with what a roofline \
            predicts from the experts that masks spare.
            """)

    @Option(
        help: ArgumentHelp(
            "The checkpoint folder; without it, a fresh model of --size.", valueName: "folder"))
    var model: String?

    @Option(help: "A fresh model: tiny (9.2 M parameters, the default) or small (111 M).")
    var size: TrainBenchmark.Size?

    @Option(
        help: ArgumentHelp(
            "Text to take prompts from, by the tokenizer of --model.", valueName: "file"))
    var text: String?

    @Option(help: "Sequences side by side.")
    var batch = 1

    @Option(help: "topk, or beam for what the masks leave of it.")
    var routing: RoutingMethod = .topk

    @Option(help: "With beam: the soft mask from which on a slot is live (default: 0.5).")
    var threshold: Double?

    @Option(
        help: """
            With beam and --size: slots of a token that random masks leave live on average; \
            without it, masks close nothing.
            """)
    var live: Double?

    @Option(help: "Tokens of each prompt.")
    var prompt = 32

    @Option(help: "Steps that are measured.")
    var tokens = 64

    @Option(help: "What weights and activations are made of: fp32 or bf16.")
    var dtype: Precision = .fp32

    @Option(help: "Threads that compute.")
    var threads = ProcessorCount.available

    @Flag(help: "Print JSON.")
    var json = false

    func validate() throws {
        try Bounds.from(1, to: Double(KernelThreads.countMax)).check("--threads", threads)
        try Bounds.from(1, to: 256).check("--batch", batch)
        try Bounds.from(1, to: 4096).check("--prompt", prompt)
        try Bounds.from(1, to: 100_000).check("--tokens", tokens)
        if model != nil, size != nil {
            throw ValidationError("--size: not with --model, which has its own")
        }
        if text != nil, model == nil {
            throw ValidationError("--text: needs --model, whose tokenizer reads it")
        }
        if let threshold {
            try requireBeam("--threshold")
            try RoutingOptions.check(threshold)
        }
        if let live {
            try requireBeam("--live")
            guard model == nil else {
                throw ValidationError("--live: not with --model, whose masks are its own")
            }
            let slots = (size ?? .tiny).configuration.expertsPerToken
            try Bounds.above(0, to: Double(slots)).check("--live", live)
        }
    }

    private func requireBeam(_ name: String) throws {
        guard routing == .beam else {
            throw ValidationError("\(name): needs --routing beam, the only one with masks")
        }
    }

    func run() throws {
        var plan = DecodeBenchmark.Plan(
            batch: batch, routing: routing, precision: dtype, threads: threads, prompt: prompt,
            tokens: tokens, live: live)
        if let threshold { plan.threshold = threshold }
        let subject: DecodeSubject
        if let model {
            subject = try .saved(model, text: text, plan)
        } else {
            let size = size ?? .tiny
            subject = try .fresh(size.configuration, named: size.rawValue, plan)
        }
        let result = DecodeBenchmark(plan, subject: subject).run()
        try result.checkMasks(of: subject.name)
        guard json else { return Terminal.printLine(DecodeTable.text(plan, subject, result)) }
        Terminal.printLine(try DecodeReport(plan, subject, result).jsonLine())
    }
}
