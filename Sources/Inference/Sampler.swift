package import Tensors

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// How a token is drawn from logits: temperature, then top-k, then top-p, as `transformers` orders
/// them.
package struct Sampling: Sendable, Equatable {
    /// Divides the logits; 0 always takes the most probable token.
    package let temperature: Double
    /// Keeps the k most probable tokens; 0 keeps all.
    package let topK: Int
    /// Keeps the fewest most probable tokens whose probabilities reach this sum; 1 keeps all.
    package let topP: Double

    /// Always the most probable token.
    package static let greedy = Sampling(unchecked: 0, 0, 1)

    /// Throws ``InferenceError`` with code `invalidSampling` that names the value out of range.
    package init(
        temperature: Double = 1, topK: Int = 0, topP: Double = 1
    ) throws(InferenceError) {
        guard temperature.isFinite, temperature >= 0 else {
            throw InferenceError(
                .invalidSampling, "temperature is \(temperature); allowed is 0 or a number above it"
            )
        }
        guard topK >= 0 else {
            throw InferenceError(
                .invalidSampling, "top-k is \(topK); allowed is a whole number from 0 (all)")
        }
        guard topP > 0, topP <= 1 else {
            throw InferenceError(
                .invalidSampling, "top-p is \(topP); allowed is a number above 0 up to 1 (all)")
        }
        self.init(unchecked: temperature, topK, topP)
    }

    private init(unchecked temperature: Double, _ topK: Int, _ topP: Double) {
        self.temperature = temperature
        self.topK = topK
        self.topP = topP
    }
}

/// Draws tokens, the same ones for the same seed and logits.
package struct Sampler: Sendable {
    private let sampling: Sampling
    /// Tokens from this one on are never drawn: a model's vocabulary is padded past the
    /// tokenizer's.
    private let vocabulary: Int
    /// State of the generator, SplitMix64.
    private var state: UInt64

    package init(_ sampling: Sampling, seed: UInt64, vocabulary: Int) {
        precondition(vocabulary > 0, "no token to draw")
        self.sampling = sampling
        self.vocabulary = vocabulary
        state = seed
    }

    /// One token from its logits [V].
    ///
    /// NaN counts as impossible; of equals the lowest token leads.
    package mutating func sample(_ logits_V: Buffer<some BinaryFloatingPoint & KernelElement>)
        -> Int32
    {
        var candidates: [Candidate] = []
        candidates.reserveCapacity(min(vocabulary, logits_V.count))
        for token in 0..<min(vocabulary, logits_V.count) {
            let logit = Double(logits_V[token])
            if !logit.isNaN { candidates.append(Candidate(token: Int32(token), logit: logit)) }
        }
        guard let best = candidates.min() else { return 0 }
        // An infinite logit is certain, and would turn its neighbours' weights into NaN.
        guard sampling.temperature > 0, best.logit.isFinite else { return best.token }
        candidates.sort()
        if sampling.topK > 0 { candidates = Array(candidates.prefix(sampling.topK)) }
        let weights = candidates.map { exp(($0.logit - best.logit) / sampling.temperature) }
        return candidates[draw(from: nucleus(of: weights))].token
    }

    /// The leading weights whose sum reaches top-p of all, at least one.
    private func nucleus(of weights: [Double]) -> ArraySlice<Double> {
        guard sampling.topP < 1 else { return weights[...] }
        let wanted = sampling.topP * weights.reduce(0, +)
        var sum = 0.0
        for (index, weight) in weights.enumerated() {
            sum += weight
            if sum >= wanted { return weights[...index] }
        }
        return weights[...]
    }

    /// An index, each with a probability in proportion to its weight.
    private mutating func draw(from weights: ArraySlice<Double>) -> Int {
        var left = uniform() * weights.reduce(0, +)
        for (index, weight) in weights.enumerated() {
            left -= weight
            if left < 0 { return index }
        }
        return weights.count - 1
    }

    /// A number in 0 ..< 1 with 53 random bits.
    private mutating func uniform() -> Double {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        z ^= z >> 31
        return Double(z >> 11) / 9_007_199_254_740_992
    }

    /// A token that may be drawn; the more probable is the lesser, so that sorting leads with it.
    private struct Candidate: Comparable {
        let token: Int32
        let logit: Double

        static func < (left: Candidate, right: Candidate) -> Bool {
            left.logit != right.logit ? left.logit > right.logit : left.token < right.token
        }
    }
}
