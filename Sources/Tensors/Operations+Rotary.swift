internal import CKernels

/// Which channels of which heads a rotary position embedding turns.
package struct RotaryShape: Sendable, Equatable {
    /// B sequences of T tokens with H heads each.
    package var batch: Int
    package var tokens: Int
    package var heads: Int
    /// R consecutive channels of each head turn (even); heads begin `stride` elements apart.
    package var width: Int
    package var stride: Int
    /// Whether channel 2i turns with channel 2i + 1, and not channel i with i + R / 2.
    package var isInterleaved: Bool

    /// Heads lie next to each other and turn as a whole unless a stride is given.
    package init(
        batch: Int, tokens: Int, heads: Int, width: Int, stride: Int? = nil,
        isInterleaved: Bool = false
    ) {
        self.batch = batch
        self.tokens = tokens
        self.heads = heads
        self.width = width
        self.stride = stride ?? width
        self.isInterleaved = isInterleaved
    }

    /// Elements from the first that turns to behind the last.
    fileprivate var span: Int {
        let count = batch * tokens * heads
        return count == 0 ? 0 : (count - 1) * stride + width
    }

    /// As the kernels take it.
    fileprivate var kernel: martlet_rope_shape {
        precondition(
            width % 2 == 0 && width <= stride, "\(width) of \(stride) channels cannot turn")
        return martlet_rope_shape(
            batch: batch, tokens: tokens, heads: heads, width: width, stride: stride,
            interleaved: isInterleaved ? 1 : 0)
    }
}

extension Operations {
    /// Rotates x, which begins with the first channel that turns, in place; row t of cosine and
    /// sine [T,R/2] is the angle of token t.
    package func rope(
        _ shape: RotaryShape, cosine: Buffer<Element.Sum>, sine: Buffer<Element.Sum>,
        x: Buffer<Element>
    ) {
        check(shape, cosine, sine, x)
        unsafe withPointers(cosine, sine, x) { cosine, sine, x in
            unsafe kernels.rope(shape.kernel, cosine, sine, x)
        }
    }

    /// The transposed rotation, in place on dx.
    package func ropeBackward(
        _ shape: RotaryShape, cosine: Buffer<Element.Sum>, sine: Buffer<Element.Sum>,
        dx: Buffer<Element>
    ) {
        check(shape, cosine, sine, dx)
        unsafe withPointers(cosine, sine, dx) { cosine, sine, dx in
            unsafe kernels.ropeBackward(shape.kernel, cosine, sine, dx)
        }
    }

    private func check(
        _ shape: RotaryShape, _ cosine: Buffer<Element.Sum>, _ sine: Buffer<Element.Sum>,
        _ x: Buffer<Element>
    ) {
        require(cosine, holds: shape.tokens * shape.width / 2, "cosines")
        require(sine, holds: shape.tokens * shape.width / 2, "sines")
        require(x, holds: shape.span, "rotated heads")
    }
}
