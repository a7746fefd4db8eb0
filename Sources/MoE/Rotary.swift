package import Tensors

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// Cosines and sines of the rotary position embedding for positions 0 ..< positions.
///
/// After Su et al. 2021: the angle of channel pair i at position t is t * theta^(-2i / C). Computed
/// in fp64 and rounded once.
package struct RotaryTable<Element: KernelElement> {
    package let positions: Int
    private let half: Int
    private let cosine_TC: Buffer<Element>
    private let sine_TC: Buffer<Element>

    package init(
        _ configuration: ModelConfiguration, positions: Int, plan: inout ActivationPlan
    ) {
        self.positions = positions
        half = configuration.headWidth / 2
        cosine_TC = plan.buffer(positions * half)
        sine_TC = plan.buffer(positions * half)
        for pair in 0..<half {
            let exponent = -2 * Double(pair) / Double(configuration.headWidth)
            let frequency = pow(configuration.ropeTheta, exponent)
            for position in 0..<positions {
                let angle = Double(position) * frequency
                cosine_TC[position * half + pair] = Element(cos(angle))
                sine_TC[position * half + pair] = Element(sin(angle))
            }
        }
    }

    /// Rows of both tables for `positions`, [positions.count, C/2] each.
    package func rows(
        _ positions: Range<Int>
    ) -> (cosine: Buffer<Element>, sine: Buffer<Element>) {
        let range = positions.lowerBound * half..<positions.upperBound * half
        return (cosine_TC[range], sine_TC[range])
    }
}
