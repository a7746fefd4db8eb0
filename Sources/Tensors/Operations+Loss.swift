internal import CKernels

/// A sum of cross-entropies, and the number of targets it is over.
package struct CrossEntropy: Sendable, Equatable {
    /// In nats.
    package var sum: Double
    /// Targets that were not ignored.
    package var count: Int
}

/// Number of targets [M] that are not ignored: those that are not negative.
package func countTargets(rows M: Int, targets: Buffer<Int32>) -> Int {
    require(targets, holds: M, "targets")
    return unsafe withPointers(targets) { targets in unsafe martlet_count_targets(M, targets) }
}

extension Operations {
    /// Cross-entropy of the logits x [M,D] wᵀ [D,V] with targets [M]; negative targets are ignored.
    package func headLoss(
        rows M: Int, width D: Int, vocabulary V: Int, x: Buffer<Element>, w: Buffer<Element>,
        targets: Buffer<Int32>
    ) -> CrossEntropy {
        checkHead(M, D, V, x, w, targets)
        let loss = unsafe withPointers(x, w, targets) { x, w, targets in
            unsafe kernels.headLoss(M, D, V, x, w, targets, 0, nil, nil)
        }
        return CrossEntropy(sum: loss.sum, count: loss.count)
    }

    /// The same, and its gradients times `factor`: dx [M,D] is overwritten, dw [V,D] added to.
    ///
    /// Logits are in memory a chunk at a time.
    package func headLossBackward(
        rows M: Int, width D: Int, vocabulary V: Int, x: Buffer<Element>, w: Buffer<Element>,
        targets: Buffer<Int32>, factor: Double, dx: Buffer<Element>, dw: Buffer<Element.Sum>
    ) -> CrossEntropy {
        checkHead(M, D, V, x, w, targets)
        require(dx, holds: M * D, "gradients of rows of the head")
        require(dw, holds: V * D, "gradient of the head")
        let loss = unsafe withPointers(x, w, targets, dx, dw) { x, w, targets, dx, dw in
            unsafe kernels.headLoss(M, D, V, x, w, targets, factor, dx, dw)
        }
        return CrossEntropy(sum: loss.sum, count: loss.count)
    }

    private func checkHead(
        _ M: Int, _ D: Int, _ V: Int, _ x: Buffer<Element>, _ w: Buffer<Element>,
        _ targets: Buffer<Int32>
    ) {
        require(x, holds: M * D, "rows of the head")
        require(w, holds: V * D, "head")
        require(targets, holds: M, "targets")
        for row in 0..<M {
            precondition(targets[row] < V, "target \(targets[row]) outside 0..<\(V)")
        }
    }
}
