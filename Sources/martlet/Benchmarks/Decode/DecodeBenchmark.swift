import Inference
import MoE
import Tensors

/// Times greedy decoding of B sequences side by side, by plain top-k or with the model's masks.
///
/// With masks, three decoders of the same model and the same prompts go on in turns: one looks at
/// no mask, one skips what the masks close, and one skips everything, which is the time of all
/// that is not experts. Each has its own cache of keys and values, so that all three have equally
/// much to attend to, whatever they write.
struct DecodeBenchmark {
    /// What to measure.
    struct Plan: Sendable {
        /// Sequences side by side.
        var batch = 1
        var routing = RoutingMethod.topk
        var precision = Precision.fp32
        var threads = 1
        /// Tokens of each sequence's prompt.
        var prompt = 32
        /// Steps that are measured, a token of each sequence.
        var tokens = 64
        /// tau: what the sigmoid of a mask logit must reach for its slot to be live.
        var threshold = RoutingRequest.usualThreshold
        /// How many of K slots random masks leave live on average; `nil` for masks as they are.
        var live: Double?
    }

    /// What was measured.
    struct Result: Sendable {
        var topk = DecodePace()
        /// With masks, and with every slot closed; only for `RoutingMethod.beam`.
        var beam: DecodePace?
        var closed: DecodePace?
        /// What was added to every mask logit.
        var bias = 0.0
    }

    /// Steps that one decoder takes before it is another's turn, and those before them that are
    /// not measured: caches hold what the others read.
    static let turnSteps = 8
    static let warmUpSteps = 2
    /// Most tokens of a sequence that a prompt is taken in by at a time.
    private static let chunkMax = 128
    /// No logit of random masks is farther than this from 0: six times their deviation.
    private static let logitMax = 6.0
    /// Trials for the bias, each of which halves the range, in the end to 0.003.
    private static let halvings = 12

    private let plan: Plan
    private let subject: DecodeSubject
    private let turns: [Int]

    /// `subject` must be one for `plan`.
    init(_ plan: Plan, subject: DecodeSubject) {
        self.plan = plan
        self.subject = subject
        turns = plan.turns
    }

    func run() -> Result {
        KernelThreads.set(plan.threads)
        defer { KernelThreads.stop() }
        switch plan.precision {
        case .fp32: return measure(subject.parameters)
        case .bf16:
            let rounded = Buffer<BFloat16>(count: subject.parameters.count)
            rounded.round(subject.parameters)
            return measure(rounded)
        }
    }

    private func measure<Element: KernelElement>(_ parameters: Buffer<Element>) -> Result {
        var result = Result()
        guard plan.routing == .beam else {
            result.topk = paces(of: [.off], parameters)[0]
            return result
        }
        if let live = plan.live { result.bias = bias(leaving: live, parameters) }
        let masks = masking(bias: result.bias)
        var closed = masks
        closed.threshold = .infinity
        let all = paces(of: [.off, masks, closed], parameters)
        result.topk = all[0]
        result.beam = all[1]
        result.closed = all[2]
        return result
    }

    /// Decodes in all these ways, in turns, so that a machine whose speed drifts treats them alike:
    /// every other turn goes backwards.
    private func paces<Element: KernelElement>(
        of ways: [Masking], _ parameters: Buffer<Element>
    ) -> [DecodePace] {
        var lanes = ways.map { lane($0, parameters) }
        for (turn, steps) in turns.enumerated() {
            let order: [Int] =
                turn.isMultiple(of: 2) ? Array(lanes.indices) : lanes.indices.reversed()
            for index in order { lanes[index].take(steps, warmUp: Self.warmUpSteps) }
        }
        return lanes.map(\.pace)
    }

    /// The bias of mask logits with which `live` of K slots stay live on average.
    ///
    /// Fresh masks close nothing, and random ones half of the slots: their logits are about
    /// normal. How many stay live cannot be foreseen from the logits of one pass, since what masks
    /// close in one layer changes what the next ones see, and which tokens follow. So it is
    /// measured: the whole run is decoded with one bias after the other, halving the range, and of
    /// all those the bias counts whose run came nearest. The run that is timed takes the same
    /// steps again, so it has as many live slots.
    private func bias<Element: KernelElement>(
        leaving live: Double, _ parameters: Buffer<Element>
    ) -> Double {
        let threshold = Masking.logit(plan.threshold)
        var (few, many) = (threshold - Self.logitMax, threshold + Self.logitMax)
        // This far, all are live.
        var nearest = (bias: many, distance: Double(subject.configuration.expertsPerToken) - live)
        for _ in 0..<Self.halvings {
            let bias = (few + many) / 2
            let found = paces(of: [masking(bias: bias)], parameters)[0].activity.rowsPerToken
            if found < live { few = bias } else { many = bias }
            let distance = abs(found - live)
            if distance < nearest.distance { nearest = (bias, distance) }
        }
        return nearest.bias
    }

    private func masking(bias: Double) -> Masking {
        var masking = Masking(.skipping)
        masking.threshold = Masking.logit(plan.threshold)
        masking.bias = bias
        return masking
    }

    private func lane<Element: KernelElement>(
        _ masking: Masking, _ parameters: Buffer<Element>
    ) -> DecodeLane<Element> {
        let decoder = Inference.Decoder<Element>(
            configuration: subject.configuration, parameters: parameters, batch: plan.batch,
            capacity: plan.positions, chunk: min(plan.prompt, Self.chunkMax))
        decoder.masking = masking
        return DecodeLane(decoder, prompts: subject.prompts)
    }
}

extension DecodeBenchmark.Result {
    /// Throws `CommandError` if mask logits of the model, which the message calls `name`, were no
    /// numbers: nothing is measured by closing slots for that.
    func checkMasks(of name: String) throws(CommandError) {
        guard let count = beam?.activity.invalid, count > 0 else { return }
        throw CommandError.brokenMasks(count, of: name)
    }
}

extension DecodeBenchmark.Plan {
    /// Measured steps of each turn.
    var turns: [Int] {
        let most = DecodeBenchmark.turnSteps
        return stride(from: 0, to: tokens, by: most).map { min(most, tokens - $0) }
    }

    /// Tokens of each sequence in the end.
    var positions: Int { prompt + tokens + turns.count * DecodeBenchmark.warmUpSteps }
}
