#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// How the rotary position embedding is stretched over more positions than a model was first
/// trained for.
package enum RopeScaling: Sendable, Equatable {
    case none
    /// Every position counts as position / factor (Chen et al. 2023).
    case linear(factor: Double)
    case yarn(Yarn)

    /// Angle per position of each of the width / 2 channel pairs.
    ///
    /// Unscaled, that of pair i is theta^(-2i / width).
    package func frequencies(width: Int, theta: Double) -> [Double] {
        let plain = (0..<width / 2).map { pow(theta, -2 * Double($0) / Double(width)) }
        switch self {
        case .none: return plain
        case .linear(let factor): return plain.map { $0 / factor }
        case .yarn(let yarn): return yarn.frequencies(plain: plain, width: width, theta: theta)
        }
    }

    /// Factor on rotated queries and keys.
    package var rotationFactor: Double {
        if case .yarn(let yarn) = self { return yarn.rotationFactor }
        return 1
    }

    /// Factor on the scores of latent attention.
    package var latentScoreFactor: Double {
        guard case .yarn(let yarn) = self, let share = yarn.mscaleAllDimensions, share != 0 else {
            return 1
        }
        let factor = yarn.magnitude(share)
        return factor * factor
    }
}

/// YaRN: slow channel pairs are stretched, fast ones kept, those between blended.
///
/// After Peng et al. 2023.
package struct Yarn: Sendable, Equatable {
    /// How much longer sequences become.
    package var factor: Double
    /// Positions before that.
    package var originalPositions: Int
    /// Pairs that turn at least `betaFast` times over the original positions are kept, those that
    /// turn at most `betaSlow` times are stretched.
    package var betaFast = 32.0
    package var betaSlow = 1.0
    /// Factor on rotated queries and keys, if it is not to be derived.
    package var attentionFactor: Double?
    /// Shares of log(factor) in the factors on rotated channels and on all (DeepSeek-V2).
    package var mscale: Double?
    package var mscaleAllDimensions: Double?
    /// Whether the blend begins and ends at whole pairs.
    package var truncates = true

    package init(factor: Double, originalPositions: Int) {
        self.factor = factor
        self.originalPositions = originalPositions
    }

    func frequencies(plain: [Double], width: Int, theta: Double) -> [Double] {
        var low = pair(turning: betaFast, width: width, theta: theta)
        var high = pair(turning: betaSlow, width: width, theta: theta)
        if truncates { (low, high) = (low.rounded(.down), high.rounded(.up)) }
        (low, high) = (max(low, 0), min(high, Double(width - 1)))
        if low == high { high += 0.001 }
        return plain.enumerated().map { index, frequency in
            let stretched = min(max((Double(index) - low) / (high - low), 0), 1)
            return frequency * (1 - stretched) + frequency / factor * stretched
        }
    }

    var rotationFactor: Double {
        if let attentionFactor { return attentionFactor }
        guard let mscale, let mscaleAllDimensions, mscale != 0, mscaleAllDimensions != 0 else {
            return magnitude(1)
        }
        return magnitude(mscale) / magnitude(mscaleAllDimensions)
    }

    /// 1 + share / 10 * log(factor).
    func magnitude(_ share: Double) -> Double { factor <= 1 ? 1 : 0.1 * share * log(factor) + 1 }

    /// The channel pair that turns `turns` times over the original positions.
    private func pair(turning turns: Double, width: Int, theta: Double) -> Double {
        Double(width) * log(Double(originalPositions) / (turns * 2 * .pi)) / (2 * log(theta))
    }
}
