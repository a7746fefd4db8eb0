internal import CKernels

/// Which of a router's choices a mask leaves live (BEAM 2026): K of E experts for each of M tokens.
package struct MaskShape: Sendable, Equatable {
    package var rows: Int
    package var experts: Int
    package var choices: Int
    /// Elements from one token's mask logits [E] to the next one's.
    package var stride: Int
    /// What is added to every mask logit, and what it must be at least for its slot to be live.
    package var bias = 0.0
    package var threshold = 0.0
    /// Whether the regulariser is of the squares of soft masks (L2) or of the masks (L1).
    package var squares = false

    package init(rows: Int, experts: Int, choices: Int, stride: Int) {
        self.rows = rows
        self.experts = experts
        self.choices = choices
        self.stride = stride
    }

    /// Elements that the logits of all rows span.
    fileprivate var span: Int { rows == 0 ? 0 : (rows - 1) * stride + experts }

    /// As the kernels take it.
    fileprivate var kernel: martlet_mask_shape {
        precondition(stride >= experts, "rows of \(experts) logits every \(stride)")
        return martlet_mask_shape(
            rows: rows, experts: experts, choices: choices, stride: stride, bias: bias,
            threshold: threshold, squares: squares ? 1 : 0)
    }
}

/// What a mask leaves of the tokens that count.
package struct MaskTally: Sendable, Equatable, BitwiseCopyable {
    /// Tokens that count.
    package var tokens = 0
    /// Sum over their slots of the soft mask, or of its square.
    package var soft = 0.0
    /// Their live slots, and how many of them have none.
    package var live = 0
    package var empty = 0
    /// Slots of any token whose mask logit is no number; none of them is live.
    package var invalid = 0

    package init() {}

    package static func += (left: inout MaskTally, right: MaskTally) {
        left.tokens += right.tokens
        left.soft += right.soft
        left.live += right.live
        left.empty += right.empty
        left.invalid += right.invalid
    }
}

extension Operations {
    /// soft [M,K] = sigmoid of the mask logits of the chosen experts [M,K]; live [M,K] = the
    /// expert, or -1 where the mask closes the slot; masked [M,K] = weights [M,K], 0 where closed.
    ///
    /// Tokens whose target [M] is negative do not count for the result; without targets all do.
    package func mask(
        _ shape: MaskShape, logits: Buffer<Element.Sum>, chosen: Buffer<Int32>,
        weights: Buffer<Element.Sum>, targets: Buffer<Int32>?, soft: Buffer<Element.Sum>,
        masked: Buffer<Element.Sum>, live: Buffer<Int32>
    ) -> MaskTally {
        let slots = shape.rows * shape.choices
        require(logits, holds: shape.span, "mask logits")
        for indices in [chosen, live] { require(indices, holds: slots, "chosen experts") }
        for values in [weights, soft, masked] { require(values, holds: slots, "masks") }
        if let targets { require(targets, holds: shape.rows, "targets") }
        let report = unsafe targets.withOptionalPointer { targets in
            unsafe withPointers(logits, chosen, weights, soft, masked, live) {
                logits, chosen, weights, soft, masked, live in
                unsafe kernels.mask(
                    shape.kernel, logits, chosen, weights, targets, soft, masked, live)
            }
        }
        var tally = MaskTally()
        tally.tokens = report.rows
        tally.soft = report.soft
        tally.live = report.live
        tally.empty = report.empty
        tally.invalid = report.invalid
        return tally
    }

    /// Straight through the mask: dlogits [M,E], a row every `stride`, as if masked were weights
    /// times soft, and dweights [M,K], from dmasked [M,K] and the gradient of the tally's `soft`.
    ///
    /// dweights may be dmasked.
    package func maskBackward(
        _ shape: MaskShape, chosen: Buffer<Int32>, weights: Buffer<Element.Sum>,
        targets: Buffer<Int32>?, soft: Buffer<Element.Sum>, live: Buffer<Int32>,
        dmasked: Buffer<Element.Sum>, dsoft: Double, dweights: Buffer<Element.Sum>,
        dlogits: Buffer<Element.Sum>
    ) {
        let slots = shape.rows * shape.choices
        require(dlogits, holds: shape.span, "mask logits")
        for indices in [chosen, live] { require(indices, holds: slots, "chosen experts") }
        for values in [weights, soft, dmasked, dweights] {
            require(values, holds: slots, "masks")
        }
        if let targets { require(targets, holds: shape.rows, "targets") }
        unsafe targets.withOptionalPointer { targets in
            unsafe withPointers(chosen, weights, soft, live, dmasked, dweights, dlogits) {
                chosen, weights, soft, live, dmasked, dweights, dlogits in
                unsafe kernels.maskBackward(
                    shape.kernel, chosen, weights, targets, soft, live, dmasked, dsoft, dweights,
                    dlogits)
            }
        }
    }
}
