package import Tensors

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// Cosines and sines of the rotary position embedding for positions 0 ..< positions.
///
/// After Su et al. 2021: the angle of channel pair i at position t is t times the frequency that
/// ``RopeScaling`` gives the pair. Computed in fp64 and rounded once.
package struct RotaryTable<Element: KernelElement & BinaryFloatingPoint> {
    package let positions: Int
    private let half: Int
    private let cosine_TC: Buffer<Element>
    private let sine_TC: Buffer<Element>

    package init(
        _ configuration: ModelConfiguration, positions: Int, plan: inout ActivationPlan
    ) {
        self.positions = positions
        half = configuration.rotatedWidth / 2
        cosine_TC = plan.buffer(positions * half)
        sine_TC = plan.buffer(positions * half)
        let scaling = configuration.ropeScaling
        let frequencies = scaling.frequencies(
            width: configuration.rotatedWidth, theta: configuration.ropeTheta)
        for (pair, frequency) in frequencies.enumerated() {
            for position in 0..<positions {
                let angle = Double(position) * frequency
                cosine_TC[position * half + pair] = Element(cos(angle) * scaling.rotationFactor)
                sine_TC[position * half + pair] = Element(sin(angle) * scaling.rotationFactor)
            }
        }
    }

    /// Rows of both tables for `positions`, [positions.count, half the rotated channels] each.
    package func rows(
        _ positions: Range<Int>
    ) -> (cosine: Buffer<Element>, sine: Buffer<Element>) {
        let range = positions.lowerBound * half..<positions.upperBound * half
        return (cosine_TC[range], sine_TC[range])
    }
}
