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

/// Which rows the experts have: those of a dispatch, or all M tokens for a dense MLP.
package enum Routing: Sendable {
    /// Row r is a slot of a token, of K each.
    case dispatched(Dispatch, choices: Int)
    /// Row r is token r; offsets [2] are 0 and M.
    case everyToken(offsets: Buffer<Int32>)

    fileprivate var offsets: Buffer<Int32> {
        switch self {
        case .dispatched(let dispatch, _): dispatch.offsets
        case .everyToken(let offsets): offsets
        }
    }

    /// Calls `body` with the routing of M tokens as the kernels take it.
    fileprivate func withKernelRouting<Result>(
        tokens M: Int, _ body: (martlet_routing) -> Result
    ) -> Result {
        switch self {
        case .dispatched(let dispatch, let choices):
            unsafe withPointers(dispatch.offsets, dispatch.slotOfRow, dispatch.rowOfSlot) {
                offsets, slotOfRow, rowOfSlot in
                unsafe body(
                    martlet_routing(
                        tokens: M, choices: choices, offsets: offsets, slot_of_row: slotOfRow,
                        row_of_slot: rowOfSlot))
            }
        case .everyToken(let offsets):
            unsafe withPointers(offsets) { offsets in
                unsafe body(
                    martlet_routing(
                        tokens: M, choices: 1, offsets: offsets, slot_of_row: nil,
                        row_of_slot: nil))
            }
        }
    }
}

/// What the experts keep of a forward pass over R rows, gate, up and hidden [R,F], and the room
/// they compute in, rows [R,D], which all layers may share and a dense MLP does not need.
package struct ExpertBuffers<Element: KernelElement>: Sendable {
    package let gate: Buffer<Element>
    package let up: Buffer<Element>
    package let hidden: Buffer<Element>
    package let rows: Buffer<Element>

    package init(
        gate: Buffer<Element>, up: Buffer<Element>, hidden: Buffer<Element>, rows: Buffer<Element>
    ) {
        self.gate = gate
        self.up = up
        self.hidden = hidden
        self.rows = rows
    }
}

extension Operations {
    /// out [M,D] = the sum over each token's slots of weights [M,K] times expert(x [M,D]), where
    /// expert(x) = (silu(x gateᵀ) * (x upᵀ)) downᵀ.
    ///
    /// A slot of weight 0 adds nothing, whatever its expert computes. A dense MLP has no weights.
    package func experts(
        _ places: ExpertPlaces, _ routing: Routing, tokens M: Int, parameters: Buffer<Element>,
        x: Buffer<Element>, weights: Buffer<Element.Sum>?, buffers: ExpertBuffers<Element>,
        accumulating: Bool = false, out: Buffer<Element>
    ) {
        check(places, routing, M, buffers, weights)
        require(parameters, holds: places.end, "parameters of experts")
        for tokens in [x, out] { require(tokens, holds: M * places.width, "rows of tokens") }
        unsafe weights.withOptionalPointer { weights in
            unsafe withPointers(parameters, x, buffers.gate, buffers.up, buffers.hidden) {
                parameters, x, gate, up, hidden in
                unsafe withPointers(buffers.rows, out) { rows, out in
                    unsafe places.withKernelShape { shape in
                        unsafe routing.withKernelRouting(tokens: M) { routing in
                            unsafe kernels.experts(
                                shape, routing, parameters, x, weights, gate, up, hidden, rows,
                                accumulating ? 1 : 0, out)
                        }
                    }
                }
            }
        }
    }

    /// dx [M,D], dweights [M,K] and the experts' places in dparameters are overwritten.
    ///
    /// Spoils the buffers.
    package func expertsBackward(
        _ places: ExpertPlaces, _ routing: Routing, tokens M: Int, parameters: Buffer<Element>,
        x: Buffer<Element>, weights: Buffer<Element.Sum>?, buffers: ExpertBuffers<Element>,
        dout: Buffer<Element>, accumulating: Bool = false, dx: Buffer<Element>,
        dweights: Buffer<Element.Sum>?, dparameters: Buffer<Element.Sum>
    ) {
        check(places, routing, M, buffers, weights)
        check(places, routing, M, buffers, dweights)
        require(parameters, holds: places.end, "parameters of experts")
        require(dparameters, holds: places.end, "parameter gradients of experts")
        for tokens in [x, dout, dx] { require(tokens, holds: M * places.width, "rows of tokens") }
        unsafe weights.withOptionalPointer { weights in
            unsafe dweights.withOptionalPointer { dweights in
                unsafe withPointers(parameters, x, buffers.gate, buffers.up, buffers.hidden) {
                    parameters, x, gate, up, hidden in
                    unsafe withPointers(dout, buffers.rows, dx, dparameters) {
                        dout, rows, dx, dparameters in
                        unsafe places.withKernelShape { shape in
                            unsafe routing.withKernelRouting(tokens: M) { routing in
                                unsafe kernels.expertsBackward(
                                    shape, routing, parameters, x, weights, gate, up, hidden,
                                    dout, rows, accumulating ? 1 : 0, dx, dweights, dparameters)
                            }
                        }
                    }
                }
            }
        }
    }

    /// Checks that offsets [E+1] begin at 0 and never fall, and what the rows need.
    private func check(
        _ places: ExpertPlaces, _ routing: Routing, _ M: Int, _ buffers: ExpertBuffers<Element>,
        _ weights: Buffer<Element.Sum>?
    ) {
        let offsets = routing.offsets
        require(offsets, holds: places.experts + 1, "offsets")
        precondition(offsets[0] == 0, "rows of experts begin at \(offsets[0]), not 0")
        for expert in 0..<places.experts {
            precondition(offsets[expert] <= offsets[expert + 1], "offsets of experts fall")
        }
        let rows = Int(offsets[places.experts])
        for wide in [buffers.gate, buffers.up, buffers.hidden] {
            require(wide, holds: rows * places.hidden, "hidden")
        }
        switch routing {
        case .dispatched(let dispatch, let K):
            require(dispatch.rowOfSlot, holds: M * K, "rows of slots")
            precondition(rows <= M * K, "\(rows) rows from \(M * K) slots")
            require(buffers.rows, holds: rows * places.width, "rows of experts")
            guard let weights else { preconditionFailure("slots without weights") }
            require(weights, holds: M * K, "routing weights")
        case .everyToken:
            precondition(rows == M, "\(rows) rows of \(M) tokens")
            precondition(weights == nil, "weights for an MLP that has none")
        }
    }

    /// out [M,D] += sigmoid(x [M,D] · w [D]) * shared [M,D]; keeps sigmoid [M] for backward.
    package func sharedExpert(
        rows M: Int, width D: Int, x: Buffer<Element>, w: Buffer<Element>,
        shared: Buffer<Element>, sigmoid: Buffer<Element.Sum>, out: Buffer<Element>
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
        shared: Buffer<Element>, sigmoid: Buffer<Element.Sum>, dout: Buffer<Element>,
        accumulating: Bool = false, dx: Buffer<Element>, dw: Buffer<Element.Sum>,
        dshared: Buffer<Element>
    ) {
        for rows in [x, shared, dout, dx, dshared] {
            require(rows, holds: M * D, "rows of the shared expert")
        }
        require(w, holds: D, "gate of the shared expert")
        require(dw, holds: D, "gate gradient of the shared expert")
        require(sigmoid, holds: M, "sigmoid of the shared expert")
        unsafe withPointers(x, w, shared, sigmoid) { x, w, shared, sigmoid in
            unsafe withPointers(dout, dx, dw, dshared) { dout, dx, dw, dshared in
                unsafe kernels.sharedExpertBackward(
                    M, D, x, w, shared, sigmoid, dout, accumulating ? 1 : 0, dx, dw, dshared)
            }
        }
    }
}
