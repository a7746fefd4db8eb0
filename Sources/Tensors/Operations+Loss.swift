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
    /// Cross-entropy of logits [M,V] with targets [M]; negative targets are ignored.
    package func crossEntropy(
        rows M: Int, vocabulary V: Int, targets: Buffer<Int32>, logits: Buffer<Element>
    ) -> CrossEntropy {
        checkTargets(M, V, targets, logits)
        let loss = unsafe withPointers(targets, logits) { targets, logits in
            unsafe kernels.crossEntropy(M, V, targets, logits)
        }
        return CrossEntropy(sum: loss.sum, count: loss.count)
    }

    /// The same, and turns logits [M,V] in place into factor times their gradient of the sum.
    package func crossEntropyBackward(
        rows M: Int, vocabulary V: Int, targets: Buffer<Int32>, factor: Double,
        logits: Buffer<Element>
    ) -> CrossEntropy {
        checkTargets(M, V, targets, logits)
        let loss = unsafe withPointers(targets, logits) { targets, logits in
            unsafe kernels.crossEntropyBackward(M, V, targets, factor, logits)
        }
        return CrossEntropy(sum: loss.sum, count: loss.count)
    }

    private func checkTargets(
        _ M: Int, _ V: Int, _ targets: Buffer<Int32>, _ logits: Buffer<Element>
    ) {
        require(targets, holds: M, "targets")
        require(logits, holds: M * V, "logits")
        for row in 0..<M {
            precondition(targets[row] < V, "target \(targets[row]) outside 0..<\(V)")
        }
    }

    /// y [M,V] = log softmax of each row of x [M,V]; y may be x.
    package func logSoftmax(
        rows M: Int, vocabulary V: Int, x: Buffer<Element>, y: Buffer<Element>
    ) {
        for rows in [x, y] { require(rows, holds: M * V, "rows of logits") }
        unsafe withPointers(x, y) { x, y in unsafe kernels.logSoftmax(M, V, x, y) }
    }

    /// index [M]: where each row of x [M,V] is largest, ties to the lowest.
    package func argmax(
        rows M: Int, vocabulary V: Int, x: Buffer<Element>, index: Buffer<Int32>
    ) {
        precondition(V >= 1, "rows without entries have no largest one")
        require(x, holds: M * V, "rows of logits")
        require(index, holds: M, "indices")
        unsafe withPointers(x, index) { x, index in unsafe kernels.argmax(M, V, x, index) }
    }
}
