package import Tensors

/// What a worker learnt in a round: for each parameter of a module, anchor - local.
///
/// The outer optimizer treats it like a gradient: `global -= lr * v`. It is kept as its two ends,
/// because the fp32 difference of two fp32 numbers is not exact: `anchor - (anchor - local)`
/// differs from `local` in up to 12 % of all coordinates. In fp64 it is exact.
package struct PseudoGradient: Sendable {
    /// The parameters as decoded from the last pull, [n].
    package let anchor: FloatBuffer
    /// The parameters after the round's inner steps, [n].
    package let local: FloatBuffer

    package init(anchor: FloatBuffer, local: FloatBuffer) {
        precondition(anchor.count == local.count)
        self.anchor = anchor
        self.local = local
    }

    package var count: Int { anchor.count }

    /// L2 norm: fp32 values, fp64 sum in index order, before any compression (G of EDiT).
    package var norm: Double { anchor.differenceSumOfSquares(to: local).squareRoot() }
}

/// What travels from a worker to a shard server for one module and round.
package enum Update: Sendable {
    /// In the warm-up: the clipped gradient of one step, [n].
    case gradient(FloatBuffer)
    /// Afterwards: what the round's inner steps amount to.
    case pseudoGradient(PseudoGradient)

    package var kind: RoundKind {
        switch self {
        case .gradient: .warmup
        case .pseudoGradient: .local
        }
    }

    /// Parameters of the module.
    package var count: Int {
        switch self {
        case .gradient(let gradients): gradients.count
        case .pseudoGradient(let difference): difference.count
        }
    }

    /// L2 norm in fp64.
    package var norm: Double {
        switch self {
        case .gradient(let gradients): gradients.sumOfSquares.squareRoot()
        case .pseudoGradient(let difference): difference.norm
        }
    }
}
