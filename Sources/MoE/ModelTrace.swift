package import Tensors

/// What a model computes on its way from tokens to logits, as `transformers` hands it out.
package struct ModelTrace<Element: KernelElement> {
    /// The residual stream [M,D] before each layer and, last, after all of them and the final norm.
    package let hidden: [Buffer<Element>]
    /// What the router of each layer with experts makes of its rows [M,E], before the softmax.
    package let routerLogits: [Buffer<Element.Sum>]
    package let logits_MV: Buffer<Element.Sum>
}
