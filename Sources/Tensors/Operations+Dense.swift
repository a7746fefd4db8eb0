internal import CKernels

/// Embedding, linear maps, normalisation, rotation and sums: everything that treats each row alike.
extension Operations {
    /// y [M,D] = rows `tokens` [M] of w [V,D].
    package func embedding(
        rows M: Int, vocabulary V: Int, width D: Int, tokens: Buffer<Int32>, w: Buffer<Element>,
        y: Buffer<Element>
    ) {
        checkTokens(M, V, tokens)
        require(w, holds: V * D, "embedding weight")
        require(y, holds: M * D, "embedded rows")
        unsafe withPointers(tokens, w, y) { tokens, w, y in
            unsafe kernels.embedding(M, V, D, tokens, w, y)
        }
    }

    /// dw [V,D] += dy [M,D], each row to its token's.
    package func embeddingBackward(
        rows M: Int, vocabulary V: Int, width D: Int, tokens: Buffer<Int32>, dy: Buffer<Element>,
        dw: Buffer<Element.Sum>
    ) {
        checkTokens(M, V, tokens)
        require(dw, holds: V * D, "embedding weight gradient")
        require(dy, holds: M * D, "gradients of embedded rows")
        unsafe withPointers(tokens, dy, dw) { tokens, dy, dw in
            unsafe kernels.embeddingBackward(M, V, D, tokens, dy, dw)
        }
    }

    private func checkTokens(_ M: Int, _ V: Int, _ tokens: Buffer<Int32>) {
        require(tokens, holds: M, "tokens")
        for row in 0..<M {
            let token = tokens[row]
            precondition(token >= 0 && token < V, "token \(token) outside 0..<\(V)")
        }
    }

    /// y [M,O] = x [M,I] wᵀ + bias [O]; w is [O,I] as published checkpoints store it.
    package func linear(
        rows M: Int, inputs I: Int, outputs O: Int, x: Buffer<Element>, w: Buffer<Element>,
        bias: Buffer<Element>? = nil, y: Buffer<Element>
    ) {
        require(x, holds: M * I, "linear input")
        require(w, holds: O * I, "linear weight")
        require(y, holds: M * O, "linear output")
        if let bias { require(bias, holds: O, "linear bias") }
        unsafe bias.withOptionalPointer { bias in
            unsafe withPointers(x, w, y) { x, w, y in
                unsafe kernels.linear(M, I, O, x, w, bias, y)
            }
        }
    }

    /// dx [M,I] = dy [M,O] w; dw [O,I] += dyᵀ x; dbias [O] += column sums of dy.
    package func linearBackward(
        rows M: Int, inputs I: Int, outputs O: Int, x: Buffer<Element>, w: Buffer<Element>,
        dy: Buffer<Element>, accumulating: Bool = false, dx: Buffer<Element>,
        dw: Buffer<Element.Sum>,
        dbias: Buffer<Element.Sum>? = nil
    ) {
        require(x, holds: M * I, "linear input")
        require(w, holds: O * I, "linear weight")
        require(dy, holds: M * O, "linear output gradient")
        require(dx, holds: M * I, "linear input gradient")
        require(dw, holds: O * I, "linear weight gradient")
        if let dbias { require(dbias, holds: O, "linear bias gradient") }
        unsafe dbias.withOptionalPointer { dbias in
            unsafe withPointers(x, w, dy, dx, dw) { x, w, dy, dx, dw in
                unsafe kernels.linearBackward(
                    M, I, O, x, w, dy, accumulating ? 1 : 0, dx, dw, dbias)
            }
        }
    }

    /// ``linear(rows:inputs:outputs:x:w:bias:y:)`` without bias, its result not rounded: logits.
    package func linearWide(
        rows M: Int, inputs I: Int, outputs O: Int, x: Buffer<Element>, w: Buffer<Element>,
        y: Buffer<Element.Sum>
    ) {
        require(x, holds: M * I, "linear input")
        require(w, holds: O * I, "linear weight")
        require(y, holds: M * O, "linear output")
        unsafe withPointers(x, w, y) { x, w, y in unsafe kernels.linearWide(M, I, O, x, w, y) }
    }

    /// dx [M,I] = dy [M,O] w; dw [O,I] += dyᵀ x.
    package func linearWideBackward(
        rows M: Int, inputs I: Int, outputs O: Int, x: Buffer<Element>, w: Buffer<Element>,
        dy: Buffer<Element.Sum>, accumulating: Bool = false, dx: Buffer<Element>,
        dw: Buffer<Element.Sum>
    ) {
        for rows in [x, dx] { require(rows, holds: M * I, "linear input or its gradient") }
        require(w, holds: O * I, "linear weight")
        require(dy, holds: M * O, "linear output gradient")
        require(dw, holds: O * I, "linear weight gradient")
        unsafe withPointers(x, w, dy, dx, dw) { x, w, dy, dx, dw in
            unsafe kernels.linearWideBackward(M, I, O, x, w, dy, accumulating ? 1 : 0, dx, dw)
        }
    }

    /// y [M,D] = w [D] * x / rms(x); keeps rstd [M] = 1 / rms for backward.
    package func rmsNorm(
        rows M: Int, width D: Int, epsilon: Double, x: Buffer<Element>, w: Buffer<Element>,
        y: Buffer<Element>, rstd: Buffer<Element.Sum>
    ) {
        require(x, holds: M * D, "norm input")
        require(w, holds: D, "norm weight")
        require(y, holds: M * D, "norm output")
        require(rstd, holds: M, "norm rstd")
        unsafe withPointers(x, w, y, rstd) { x, w, y, rstd in
            unsafe kernels.rmsNorm(M, D, epsilon, x, w, y, rstd)
        }
    }

    /// dx [M,D], which may be dy itself, and dw [D] from dy [M,D].
    package func rmsNormBackward(
        rows M: Int, width D: Int, x: Buffer<Element>, w: Buffer<Element>,
        rstd: Buffer<Element.Sum>,
        dy: Buffer<Element>, accumulating: Bool = false, dx: Buffer<Element>,
        dw: Buffer<Element.Sum>
    ) {
        require(x, holds: M * D, "norm input")
        require(w, holds: D, "norm weight")
        require(rstd, holds: M, "norm rstd")
        require(dy, holds: M * D, "norm output gradient")
        require(dx, holds: M * D, "norm input gradient")
        require(dw, holds: D, "norm weight gradient")
        unsafe withPointers(x, w, rstd, dy, dx, dw) { x, w, rstd, dy, dx, dw in
            unsafe kernels.rmsNormBackward(
                M, D, x, w, rstd, dy, accumulating ? 1 : 0, dx, dw)
        }
    }

    /// y [n] = a [n] + b [n]; y may be a or b.
    package func add(count n: Int, a: Buffer<Element>, b: Buffer<Element>, y: Buffer<Element>) {
        require(a, holds: n, "addend")
        require(b, holds: n, "addend")
        require(y, holds: n, "sum")
        unsafe withPointers(a, b, y) { a, b, y in unsafe kernels.add(n, a, b, y) }
    }
}
