import Inference
import MoE
import Tensors

/// A decoder that takes greedy steps, B sequences side by side, and how long each took.
struct DecodeLane<Element: KernelElement> {
    private(set) var pace = DecodePace()

    private let decoder: Inference.Decoder<Element>
    private let clock = ContinuousClock()
    private var sampler: Sampler
    /// The newest token of each sequence [B], which the decoder has yet to see.
    private var newest: [Int32] = []

    /// Takes in `prompts` [B,T], with nothing before them.
    init(_ decoder: Inference.Decoder<Element>, prompts: [Int32]) {
        self.decoder = decoder
        sampler = Sampler(.greedy, seed: 1, vocabulary: decoder.configuration.vocabularySize)
        decoder.reset()
        newest = likeliest(decoder.decode(prompts))
    }

    /// Takes `warmUp` steps that do not count, and then `steps` that do.
    mutating func take(_ steps: Int, warmUp: Int) {
        for _ in 0..<warmUp { step() }
        decoder.forgetActivity()
        for _ in 0..<steps {
            let start = clock.now
            step()
            pace.seconds.append(start.duration(to: clock.now).seconds)
        }
        pace.activity += decoder.activity
    }

    private mutating func step() { newest = likeliest(decoder.decode(newest)) }

    /// The likeliest token of each sequence [B].
    private mutating func likeliest(_ logits_BV: Buffer<Element.Sum>) -> [Int32] {
        let V = decoder.configuration.vocabularySize
        var tokens: [Int32] = []
        for sequence in 0..<decoder.batch {
            tokens.append(sampler.sample(logits_BV[sequence * V..<(sequence + 1) * V]))
        }
        return tokens
    }
}

/// How decoding in one way went.
struct DecodePace: Sendable, Equatable {
    /// Seconds of each measured step.
    var seconds: [Double] = []
    /// What experts had to do in those steps.
    var activity = ExpertActivity()

    /// Milliseconds of the median step.
    var stepMs: Double { 1e3 * seconds.median }

    /// Bytes of experts' weights that a step reads at least: of a layer's experts those that have
    /// any row, once, summed over layers.
    func expertBytesPerStep(_ configuration: ModelConfiguration, _ precision: Precision) -> Double {
        let weights = 3 * configuration.hiddenSize * configuration.expertHiddenSize
        let bytes = Double(activity.experts * weights * precision.byteCount)
        return seconds.isEmpty ? 0 : bytes / Double(seconds.count)
    }
}

extension Precision {
    /// Bytes of a weight.
    var byteCount: Int {
        switch self {
        case .fp32: 4
        case .bf16: 2
        }
    }
}
