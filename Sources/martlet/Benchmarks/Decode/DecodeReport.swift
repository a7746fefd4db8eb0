import MoE
import Status
import Tensors

/// What `martlet bench decode` prints.
struct DecodeReport: Encodable, Sendable {
    /// A size, or the path that was given.
    var model: String
    var routing: String
    var dtype: String
    var threads: Int
    var instructionSet: String
    /// Sequences, tokens of each prompt, and measured steps behind them.
    var batch: Int
    var prompt: Int
    var tokens: Int
    var parameters: Int
    /// Layers that have experts, E, and K.
    var expertLayers: Int
    var experts: Int
    var expertsPerToken: Int

    /// Of the median step, all sequences together.
    var tokensPerS: Double
    var stepMs: Double
    /// Live experts of a token in a layer, and distinct ones of a step in a layer, on average.
    var activePerToken: Double
    var distinctExperts: Double
    /// Tokens without a live expert in a layer, of all.
    var emptyShare: Double
    /// Bytes of experts' weights that have to be read, all layers together.
    var expertBytesPerStep: Int

    // With masks: see DecodeComparison.
    var threshold: Double?
    var bias: Double?
    var topkStepMs: Double?
    var topkDistinctExperts: Double?
    var topkExpertBytesPerStep: Int?
    var otherMs: Double?
    var rowRatio: Double?
    var expertRatio: Double?
    var speedup: Double?
    var predictedSpeedup: Double?
    var ofPredicted: Double?

    var peakRssBytes: Int

    init(
        _ plan: DecodeBenchmark.Plan, _ subject: DecodeSubject, _ result: DecodeBenchmark.Result
    ) {
        let configuration = subject.configuration
        func bytes(_ pace: DecodePace) -> Int {
            Int(pace.expertBytesPerStep(configuration, plan.precision).rounded())
        }
        model = subject.name
        routing = plan.routing.rawValue
        dtype = plan.precision.rawValue
        threads = plan.threads
        instructionSet = KernelThreads.instructionSet
        batch = plan.batch
        prompt = plan.prompt
        tokens = plan.tokens
        parameters = subject.parameters.count
        expertLayers = configuration.expertLayers.count
        experts = configuration.experts
        expertsPerToken = configuration.expertsPerToken

        let pace = result.beam ?? result.topk
        tokensPerS = 1e3 * Double(plan.batch) / pace.stepMs
        stepMs = pace.stepMs
        activePerToken = pace.activity.rowsPerToken
        distinctExperts = pace.activity.expertsPerPass
        emptyShare = Double(pace.activity.empty) / Double(max(pace.activity.tokens, 1))
        expertBytesPerStep = bytes(pace)
        peakRssBytes = ProcessMemory.peakBytes

        guard let beam = result.beam, let closed = result.closed else { return }
        let comparison = DecodeComparison(topk: result.topk, beam: beam, closed: closed)
        threshold = plan.threshold
        bias = result.bias
        topkStepMs = comparison.topkStepMs
        topkDistinctExperts = result.topk.activity.expertsPerPass
        topkExpertBytesPerStep = bytes(result.topk)
        otherMs = comparison.otherMs
        rowRatio = comparison.rowRatio
        expertRatio = comparison.expertRatio
        speedup = comparison.speedup
        predictedSpeedup = comparison.predictedSpeedup
        ofPredicted = comparison.ofPredicted
    }
}

/// The same for people.
enum DecodeTable {
    /// Letters of a line, at most.
    private static let width = 100

    /// What was decoded, a line for each way of doing it and, with masks, what they bring.
    static func text(
        _ plan: DecodeBenchmark.Plan, _ subject: DecodeSubject, _ result: DecodeBenchmark.Result
    ) -> String {
        let configuration = subject.configuration
        func fixed(_ value: Double, _ digits: Int) -> String {
            Figures.fixed(value, digits: digits)
        }
        var table = TextTable([
            ("ROUTING", .left), ("TOKENS/S", .right), ("STEP MS", .right),
            ("EXPERTS/TOKEN", .right), ("DISTINCT", .right), ("MB/STEP", .right),
        ])
        let ways: [(String, DecodePace?)] = [
            ("topk", result.topk), ("beam", result.beam), ("none", result.closed),
        ]
        for case (let name, let pace?) in ways {
            let speed = 1e3 * Double(plan.batch) / pace.stepMs
            let bytes = pace.expertBytesPerStep(configuration, plan.precision)
            table.add([
                name, fixed(speed, 0), fixed(pace.stepMs, 3),
                fixed(pace.activity.rowsPerToken, 2), fixed(pace.activity.expertsPerPass, 2),
                fixed(1e-6 * bytes, 1),
            ])
        }
        var lines = [
            """
            \(subject.name), \(plan.precision.rawValue), \(plan.threads) threads: \
            \(plan.batch) sequences, \(plan.tokens) steps behind \(plan.prompt) tokens, \
            \(configuration.expertsPerToken) of \(configuration.experts) experts
            """
        ]
        lines += table.lines(width: width)
        if let beam = result.beam, let closed = result.closed {
            let masks = DecodeComparison(topk: result.topk, beam: beam, closed: closed)
            lines.append(
                """
                masks: \(fixed(masks.speedup, 2)) times as fast, predicted \
                \(fixed(masks.predictedSpeedup, 2)) (\(fixed(100 * masks.ofPredicted, 0)) %): \
                \(fixed(masks.rowRatio, 2)) of the rows, \
                \(fixed(masks.expertRatio, 2)) of the experts
                """)
        }
        return lines.joined(separator: "\n")
    }
}
