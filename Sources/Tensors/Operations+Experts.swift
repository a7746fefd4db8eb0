internal import CKernels

/// Where E SwiGLU experts of widths D and F lie in one flat parameter vector; a gradient vector has
/// the same places.
///
/// One expert is a dense MLP.
package struct ExpertPlaces: Sendable {
    package let experts: Int
    /// D, width of the model, and F, width of an expert's hidden layer.
    package let width: Int
    package let hidden: Int
    /// First elements of each expert's projections [E]: gate and up [F,D], down [D,F].
    private let gate: Buffer<Int>
    private let up: Buffer<Int>
    private let down: Buffer<Int>
    /// Elements the flat vector must have to hold all experts.
    fileprivate let end: Int

    package init(width: Int, hidden: Int, gate: [Int], up: [Int], down: [Int]) {
        precondition(gate.count == up.count && up.count == down.count, "experts lack a projection")
        precondition((gate + up + down).allSatisfy { $0 >= 0 }, "an expert begins before 0")
        experts = gate.count
        self.width = width
        self.hidden = hidden
        self.gate = Buffer(gate)
        self.up = Buffer(up)
        self.down = Buffer(down)
        end = ((gate + up + down).max() ?? 0) + width * hidden
    }

    /// Calls `body` with the places as the kernels take them.
    fileprivate func withKernelShape<Result>(_ body: (martlet_experts_shape) -> Result) -> Result {
        unsafe withPointers(gate, up, down) { gate, up, down in
            unsafe body(
                martlet_experts_shape(
                    experts: experts, width: width, hidden: hidden, gate: gate, up: up,
                    down: down))
        }
    }
}

extension Operations {
    /// For each expert e, on its rows offsets[e] ..< offsets[e+1] of x [R,D]: hidden = silu(x
    /// gateᵀ) * (x upᵀ), y = hidden downᵀ.
    ///
    /// gate, up, hidden [R,F] are kept for backward.
    package func experts(
        _ places: ExpertPlaces, offsets: Buffer<Int32>, parameters: Buffer<Element>,
        x: Buffer<Element>, gate: Buffer<Element>, up: Buffer<Element>, hidden: Buffer<Element>,
        y: Buffer<Element>
    ) {
        let rows = checkedRows(places, offsets)
        require(parameters, holds: places.end, "parameters of experts")
        for rowsOfModel in [x, y] { require(rowsOfModel, holds: rows * places.width, "rows") }
        for wide in [gate, up, hidden] { require(wide, holds: rows * places.hidden, "hidden") }
        unsafe withPointers(offsets, parameters, x, gate, up, hidden, y) {
            offsets, parameters, x, gate, up, hidden, y in
            unsafe places.withKernelShape { shape in
                unsafe kernels.experts(shape, offsets, parameters, x, gate, up, hidden, y)
            }
        }
    }

    /// dx [R,D] is overwritten, dparameters added to.
    ///
    /// Turns gate and up into their own gradients.
    package func expertsBackward(
        _ places: ExpertPlaces, offsets: Buffer<Int32>, parameters: Buffer<Element>,
        x: Buffer<Element>, gate: Buffer<Element>, up: Buffer<Element>, hidden: Buffer<Element>,
        dy: Buffer<Element>, dx: Buffer<Element>, dparameters: Buffer<Element>
    ) {
        let rows = checkedRows(places, offsets)
        require(parameters, holds: places.end, "parameters of experts")
        require(dparameters, holds: places.end, "parameter gradients of experts")
        for rowsOfModel in [x, dy, dx] { require(rowsOfModel, holds: rows * places.width, "rows") }
        for wide in [gate, up, hidden] { require(wide, holds: rows * places.hidden, "hidden") }
        unsafe withPointers(offsets, parameters, x, gate, up, hidden) {
            offsets, parameters, x, gate, up, hidden in
            unsafe withPointers(dy, dx, dparameters) { dy, dx, dparameters in
                unsafe places.withKernelShape { shape in
                    unsafe kernels.expertsBackward(
                        shape, offsets, parameters, x, gate, up, hidden, dy, dx, dparameters)
                }
            }
        }
    }

    /// R, after checking that offsets [E+1] begin at 0 and never fall.
    private func checkedRows(_ places: ExpertPlaces, _ offsets: Buffer<Int32>) -> Int {
        require(offsets, holds: places.experts + 1, "offsets")
        precondition(offsets[0] == 0, "rows of experts begin at \(offsets[0]), not 0")
        for expert in 0..<places.experts {
            precondition(offsets[expert] <= offsets[expert + 1], "offsets of experts fall")
        }
        return Int(offsets[places.experts])
    }

    /// hidden [n] = silu(gate [n]) * up [n].
    package func swiglu(
        count n: Int, gate: Buffer<Element>, up: Buffer<Element>, hidden: Buffer<Element>
    ) {
        for buffer in [gate, up, hidden] { require(buffer, holds: n, "gate, up or hidden") }
        unsafe withPointers(gate, up, hidden) { gate, up, hidden in
            unsafe kernels.swiglu(n, gate, up, hidden)
        }
    }

    /// dgate [n] and dup [n], which may be gate and up, from dhidden [n].
    package func swigluBackward(
        count n: Int, gate: Buffer<Element>, up: Buffer<Element>, dhidden: Buffer<Element>,
        dgate: Buffer<Element>, dup: Buffer<Element>
    ) {
        for buffer in [gate, up, dhidden, dgate, dup] {
            require(buffer, holds: n, "gate, up, hidden or a gradient of them")
        }
        unsafe withPointers(gate, up, dhidden, dgate, dup) { gate, up, dhidden, dgate, dup in
            unsafe kernels.swigluBackward(n, gate, up, dhidden, dgate, dup)
        }
    }

    /// out [M,D] += sigmoid(x [M,D] · w [D]) * shared [M,D]; keeps sigmoid [M] for backward.
    package func sharedExpert(
        rows M: Int, width D: Int, x: Buffer<Element>, w: Buffer<Element>,
        shared: Buffer<Element>, sigmoid: Buffer<Element>, out: Buffer<Element>
    ) {
        for rows in [x, shared, out] { require(rows, holds: M * D, "rows of the shared expert") }
        require(w, holds: D, "gate of the shared expert")
        require(sigmoid, holds: M, "sigmoid of the shared expert")
        unsafe withPointers(x, w, shared, sigmoid, out) { x, w, shared, sigmoid, out in
            unsafe kernels.sharedExpert(M, D, x, w, shared, sigmoid, out)
        }
    }

    /// dx [M,D], dw [D] and dshared [M,D] from dout [M,D].
    package func sharedExpertBackward(
        rows M: Int, width D: Int, x: Buffer<Element>, w: Buffer<Element>,
        shared: Buffer<Element>, sigmoid: Buffer<Element>, dout: Buffer<Element>,
        accumulating: Bool = false, dx: Buffer<Element>, dw: Buffer<Element>,
        dshared: Buffer<Element>
    ) {
        for rows in [x, shared, dout, dx, dshared] {
            require(rows, holds: M * D, "rows of the shared expert")
        }
        for gate in [w, dw] { require(gate, holds: D, "gate of the shared expert") }
        require(sigmoid, holds: M, "sigmoid of the shared expert")
        unsafe withPointers(x, w, shared, sigmoid) { x, w, shared, sigmoid in
            unsafe withPointers(dout, dx, dw, dshared) { dout, dx, dw, dshared in
                unsafe kernels.sharedExpertBackward(
                    M, D, x, w, shared, sigmoid, dout, accumulating ? 1 : 0, dx, dw, dshared)
            }
        }
    }
}
