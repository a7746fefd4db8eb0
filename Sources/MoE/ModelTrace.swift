package import Tensors

/// What a model computes on its way from tokens to logits, as `transformers` hands it out.
package struct ModelTrace<Element: KernelElement> {
    /// The residual stream [M,D] before each layer and, last, after all of them and the final norm.
    package let hidden: [Buffer<Element>]
    /// What the router of each layer with experts makes of its rows [M,E], before the softmax.
    package let routerLogits: [Buffer<Element.Sum>]
    /// What the mask router of each such layer makes of them [M,E]; nothing where masks are off.
    package let maskLogits: [Buffer<Element.Sum>]
    package let logits_MV: Buffer<Element.Sum>
}

extension Buffer where Element: KernelElement {
    /// `columns` of the first `rows` rows of `width` numbers, in memory of their own.
    func columns(_ columns: Range<Int>, of width: Int, rows: Int) -> Buffer {
        let copy = Buffer(count: rows * columns.count)
        for row in 0..<rows {
            copy[row * columns.count..<(row + 1) * columns.count].copy(
                from: self[row * width + columns.lowerBound..<row * width + columns.upperBound])
        }
        return copy
    }
}
