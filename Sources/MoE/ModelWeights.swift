package import Tensors

/// Views of one flat vector by the model's layout.
///
/// The vector may hold parameters or gradients.
///
/// Legend of shapes, here and in all of `MoE`: B batch, T tokens, M = B * T rows, D model width, V
/// vocabulary, H query heads, G key/value heads, C head width, W width of a value, N and R its
/// plain and rotated channels in latent attention, E experts, K top-k, F expert hidden width, S an
/// MLP's hidden width, R in `_RD` and `_RF` rows dispatched to experts.
package struct ModelWeights<Element: KernelElement> {
    package let embedding_VD: Buffer<Element>
    package let layers: [LayerWeights<Element>]
    package let finalNorm_D: Buffer<Element>
    /// The embedding itself when the two are tied, so that their gradients add up.
    package let head_VD: Buffer<Element>
}

/// One layer's part of ``ModelWeights``.
package struct LayerWeights<Element: KernelElement> {
    package let attentionNorm_D: Buffer<Element>
    package let attention: AttentionWeights<Element>
    package let expertsNorm_D: Buffer<Element>
    package let feedForward: FeedForwardWeights<Element>
}

/// A linear map's matrix [O,I] and, if it has one, its bias [O].
package struct LinearWeights<Element: KernelElement> {
    package let weight: Buffer<Element>
    package let bias: Buffer<Element>?

    /// The map to a part of the outputs.
    func outputs(_ range: Range<Int>, inputs I: Int) -> LinearWeights {
        LinearWeights(
            weight: weight[range.lowerBound * I..<range.upperBound * I], bias: bias?[range])
    }
}

package struct AttentionWeights<Element: KernelElement> {
    package let projection: ProjectionWeights<Element>
    package let output_DHW: LinearWeights<Element>
}

/// Where queries, keys and values come from.
package enum ProjectionWeights<Element: KernelElement> {
    case heads(HeadWeights<Element>)
    case latent(LatentWeights<Element>)
}

package struct HeadWeights<Element: KernelElement> {
    package let query_HCD: LinearWeights<Element>
    package let key_GCD: LinearWeights<Element>
    package let value_GCD: LinearWeights<Element>
    /// Absent without QK-norm; as wide as a head, or as all heads.
    package let queryNorm: Buffer<Element>?
    package let keyNorm: Buffer<Element>?
}

package struct LatentWeights<Element: KernelElement> {
    /// The way to the queries' latent and its norm, if they have one.
    package let queryDown: LinearWeights<Element>?
    package let queryNorm: Buffer<Element>?
    /// From that latent, or from the stream, to the queries.
    package let queryUp: LinearWeights<Element>
    /// To the latent of keys and values and, in the last rows, to the rotated part of the keys.
    package let keyValueDown: LinearWeights<Element>
    package let keyValueNorm: Buffer<Element>
    package let keyValueUp: LinearWeights<Element>
}

/// What comes after attention.
package enum FeedForwardWeights<Element: KernelElement> {
    case experts(ExpertsWeights<Element>)
    case dense(MLPWeights<Element>)
}

package struct ExpertsWeights<Element: KernelElement> {
    /// The router and, if there is one, the mask router behind it.
    package let router_ED: Buffer<Element>
    package let routerAndMask_2ED: Buffer<Element>?
    /// The whole flat vector, and where in it the experts are.
    package let all: Buffer<Element>
    package let places: ExpertPlaces
    package let shared: SharedExpertWeights<Element>?
}

package struct SharedExpertWeights<Element: KernelElement> {
    package let mlp: MLPWeights<Element>
    /// Absent if every token takes the shared expert as it is.
    package let gate_D: Buffer<Element>?
}

/// The whole flat vector, and where in it one MLP is.
package struct MLPWeights<Element: KernelElement> {
    package let all: Buffer<Element>
    package let places: ExpertPlaces
}
