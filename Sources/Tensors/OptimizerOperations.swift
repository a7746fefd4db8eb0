internal import CKernels

/// The arithmetic of the optimizers over flat buffers. Each is a fixed sequence of IEEE operations
/// per element and each sum has one order, so the same inputs give the same bits on every machine
/// (see `optimizer.h`).

/// Settings of one AdamW step.
package struct AdamWStep: Sendable, Equatable {
    package var learningRate: Float
    package var beta1: Float
    package var beta2: Float
    package var epsilon: Float
    package var weightDecay: Float
    /// `1 - beta1^t` and `1 - beta2^t` for the t-th step of this optimizer state.
    package var correction1: Float
    package var correction2: Float

    package init(
        learningRate: Float, beta1: Float, beta2: Float, epsilon: Float, weightDecay: Float,
        correction1: Float, correction2: Float
    ) {
        self.learningRate = learningRate
        self.beta1 = beta1
        self.beta2 = beta2
        self.epsilon = epsilon
        self.weightDecay = weightDecay
        self.correction1 = correction1
        self.correction2 = correction2
    }
}

/// Settings of one outer step.
package struct OuterStep: Sendable, Equatable {
    package var learningRate: Double
    package var momentum: Double
    package var nesterov: Bool
    /// Factor on the mean before anything else: the clip.
    package var scale: Double

    package init(learningRate: Double, momentum: Double, nesterov: Bool, scale: Double) {
        self.learningRate = learningRate
        self.momentum = momentum
        self.nesterov = nesterov
        self.scale = scale
    }
}

/// Settings of one push of delayed Nesterov.
package struct DelayedStep: Sendable, Equatable {
    package var outer: OuterStep
    /// Pushes that make one outer step.
    package var period: Int
    /// Whether this is the first of them, and whether the last.
    package var begins: Bool
    package var flushes: Bool

    package init(outer: OuterStep, period: Int, begins: Bool, flushes: Bool) {
        self.outer = outer
        self.period = period
        self.begins = begins
        self.flushes = flushes
    }
}

extension Buffer where Element == Float {
    /// One AdamW step on these parameters [n], given gradients [n] and both moments [n].
    package func applyAdamW(
        gradients: FloatBuffer, firstMoment: FloatBuffer, secondMoment: FloatBuffer,
        step: AdamWStep
    ) {
        precondition(gradients.count == count && firstMoment.count == count)
        precondition(secondMoment.count == count)
        let settings = martlet_adamw_step(
            learning_rate: step.learningRate, beta1: step.beta1, beta2: step.beta2,
            epsilon: step.epsilon, weight_decay: step.weightDecay,
            correction1: step.correction1, correction2: step.correction2)
        unsafe withUnsafePointer { p in
            unsafe gradients.withUnsafePointer { dp in
                unsafe firstMoment.withUnsafePointer { m in
                    unsafe secondMoment.withUnsafePointer { v in
                        unsafe martlet_adamw(count, p, dp, m, v, settings)
                    }
                }
            }
        }
    }

    /// `self -= learningRate * gradients`.
    package func applySGD(gradients: FloatBuffer, learningRate: Float) {
        precondition(gradients.count == count)
        unsafe withUnsafePointer { p in
            unsafe gradients.withUnsafePointer { dp in
                unsafe martlet_sgd(count, p, dp, learningRate)
            }
        }
    }

    /// `self *= factor`.
    package func scale(by factor: Float) {
        unsafe withUnsafePointer { x in unsafe martlet_scale_in_place(count, x, factor) }
    }

    /// Sum of squares in fp64, in a fixed order.
    package var sumOfSquares: Double {
        unsafe withUnsafePointer { x in unsafe martlet_sum_of_squares(count, x) }
    }

    /// Whether no element is infinite or NaN.
    package var allFinite: Bool {
        unsafe withUnsafePointer { x in unsafe martlet_all_finite(count, x) == 1 }
    }

    /// Sum of squares of `self - local` in fp64, in a fixed order; `self` is the anchor.
    package func differenceSumOfSquares(to local: FloatBuffer) -> Double {
        precondition(local.count == count)
        return unsafe withUnsafePointer { a in
            unsafe local.withUnsafePointer { b in
                unsafe martlet_difference_sum_of_squares(count, a, b)
            }
        }
    }

    /// Takes in `global` [n] where training has gone on from `settled` [n] to this `local` [n]:
    /// `local = global + (local - settled)` in fp64, or with `keep` below 1
    /// `local = keep * local + (1 - keep) * global`; then `settled = global`.
    package func rebase(onto global: FloatBuffer, settled: FloatBuffer, keep: Double = 1) {
        precondition(global.count == count && settled.count == count)
        unsafe withUnsafePointer { l in
            unsafe global.withUnsafePointer { g in
                unsafe settled.withUnsafePointer { s in
                    unsafe martlet_rebase(count, g, keep, s, l)
                }
            }
        }
    }

    /// One outer step from this `global` [n] and its `momentum` [n] along `mean` [n], into
    /// `newGlobal` [n] and `newMomentum` [n].
    ///
    /// They are buffers of their own, so that readers of the old version are not disturbed.
    package func outerStep(
        momentum: FloatBuffer, mean: DoubleBuffer, step: OuterStep, newGlobal: FloatBuffer,
        newMomentum: FloatBuffer
    ) {
        precondition(momentum.count == count && mean.count == count)
        precondition(newGlobal.count == count && newMomentum.count == count)
        let settings = martlet_outer_step(
            learning_rate: step.learningRate, momentum: step.momentum, scale: step.scale,
            nesterov: step.nesterov ? 1 : 0)
        unsafe withUnsafePointer { a in
            unsafe momentum.withUnsafePointer { m in
                unsafe mean.withUnsafePointer { g in
                    unsafe newGlobal.withUnsafePointer { a2 in
                        unsafe newMomentum.withUnsafePointer { m2 in
                            unsafe martlet_outer(count, a, m, g, settings, a2, m2)
                        }
                    }
                }
            }
        }
    }

    /// One push of delayed Nesterov on this `global` [n] with its `momentum` [n] and the `pending`
    /// pushes [n] of the period, along `update` [n].
    ///
    /// Writes `newGlobal` [n], and `newMomentum` [n] in the period's last push or `newPending` [n]
    /// in the others.
    package func delayedStep(
        momentum: FloatBuffer, pending: FloatBuffer, update: DoubleBuffer, step: DelayedStep,
        newGlobal: FloatBuffer, newMomentum: FloatBuffer, newPending: FloatBuffer
    ) {
        precondition(momentum.count == count && pending.count == count && update.count == count)
        precondition(newGlobal.count == count && newMomentum.count == count)
        precondition(newPending.count == count && step.period > 0)
        let outer = step.outer
        let settings = martlet_delayed_step(
            learning_rate: outer.learningRate, momentum: outer.momentum, scale: outer.scale,
            period: Double(step.period), nesterov: outer.nesterov ? 1 : 0,
            begins: step.begins ? 1 : 0, flushes: step.flushes ? 1 : 0)
        unsafe withUnsafePointer { a in
            unsafe momentum.withUnsafePointer { m in
                unsafe pending.withUnsafePointer { b in
                    unsafe update.withUnsafePointer { g in
                        unsafe newGlobal.withUnsafePointer { a2 in
                            unsafe newMomentum.withUnsafePointer { m2 in
                                unsafe newPending.withUnsafePointer { b2 in
                                    unsafe martlet_delayed(
                                        count, a, m, b, g, settings, a2, m2, b2)
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

extension Buffer where Element == Double {
    /// `self += weight * values`.
    package func accumulate(_ values: FloatBuffer, weight: Double) {
        precondition(values.count == count)
        unsafe withUnsafePointer { sum in
            unsafe values.withUnsafePointer { x in
                unsafe martlet_accumulate(count, x, weight, sum)
            }
        }
    }

    /// `self += weight * (anchor - local)`, the difference taken in fp64.
    package func accumulateDifference(anchor: FloatBuffer, local: FloatBuffer, weight: Double) {
        precondition(anchor.count == count && local.count == count)
        unsafe withUnsafePointer { sum in
            unsafe anchor.withUnsafePointer { a in
                unsafe local.withUnsafePointer { b in
                    unsafe martlet_accumulate_difference(count, a, b, weight, sum)
                }
            }
        }
    }

    /// `self *= factor`.
    package func scale(by factor: Double) {
        unsafe withUnsafePointer { x in unsafe martlet_scale_in_place_f64(count, x, factor) }
    }

    /// Sum of squares, in a fixed order.
    package var sumOfSquares: Double {
        unsafe withUnsafePointer { x in unsafe martlet_sum_of_squares_f64(count, x) }
    }

    /// `scale * self`, rounded once to fp32.
    package func narrowed(scale: Double) -> FloatBuffer {
        let result = FloatBuffer(count: count)
        unsafe withUnsafePointer { x in
            unsafe result.withUnsafePointer { y in unsafe martlet_narrow(count, x, scale, y) }
        }
        return result
    }
}
