package import Tensors

/// The optimizer inside a worker: AdamW (Loshchilov and Hutter 2019) or plain SGD over one flat
/// vector, with its moments.
///
/// A shard server runs the same one during the warm-up.
package struct InnerOptimizer: Sendable {
    package let settings: InnerSettings
    /// Running means of the gradient and of its square, [n]; empty for SGD.
    package let firstMoment: FloatBuffer
    package let secondMoment: FloatBuffer
    /// Steps since the moments were zero; AdamW's bias correction counts from there.
    package private(set) var steps: Int
    /// Whether the moments were zero later than the start of the run.
    package private(set) var joinedLate: Bool
    private let schedule: LearningRateSchedule
    /// What is trained alike; all else stays as it is.
    private let groups: [ParameterGroup]

    /// An optimizer with zero moments for `count` parameters of a run of `totalSteps` inner steps,
    /// all trained alike or in `groups`.
    package init(
        _ settings: InnerSettings, count: Int, totalSteps: Int, groups: [ParameterGroup]? = nil
    ) {
        self.settings = settings
        self.groups = groups ?? [ParameterGroup(range: 0..<count)]
        schedule = LearningRateSchedule(settings, totalSteps: totalSteps)
        let kept = settings.method == .adamw ? count : 0
        firstMoment = FloatBuffer(count: kept)
        secondMoment = FloatBuffer(count: kept)
        steps = 0
        joinedLate = false
    }

    /// Goes on from saved state: `steps` taken since the moments were zero.
    package mutating func restore(steps: Int, joinedLate: Bool) {
        self.steps = steps
        self.joinedLate = joinedLate
    }

    /// Forgets everything, as a worker must that lost its moments in the middle of a run.
    package mutating func reset() {
        firstMoment.fill(0)
        secondMoment.fill(0)
        steps = 0
        joinedLate = true
    }

    /// Clears the gradients of what stays as it is, and scales the others down to the largest norm
    /// allowed; returns the norm found.
    package func clip(_ gradients: FloatBuffer) -> Double {
        var end = 0
        for range in groups.map(\.range) + [gradients.count..<gradients.count] {
            gradients[end..<range.lowerBound].fill(0)
            end = range.upperBound
        }
        let norm = gradients.sumOfSquares.squareRoot()
        if settings.clipNorm > 0, norm > settings.clipNorm {
            gradients.scale(by: Float(settings.clipNorm / norm))
        }
        return norm
    }

    /// One step on `parameters` [n] along `gradients` [n].
    ///
    /// `scheduleStep` is the inner step of the run, which sets the learning rate.
    package mutating func step(
        _ parameters: FloatBuffer, gradients: FloatBuffer, scheduleStep: Int
    ) {
        let rate = schedule.rate(atStep: scheduleStep, sinceEmpty: joinedLate ? steps : nil)
        steps += 1
        for group in groups {
            step(group, of: parameters, gradients, rate: rate * Float(group.rateFactor))
        }
    }

    private func step(
        _ group: ParameterGroup, of parameters: FloatBuffer, _ gradients: FloatBuffer, rate: Float
    ) {
        let range = group.range
        switch settings.method {
        case .sgd:
            parameters[range].applySGD(gradients: gradients[range], learningRate: rate)
        case .adamw:
            parameters[range].applyAdamW(
                gradients: gradients[range], firstMoment: firstMoment[range],
                secondMoment: secondMoment[range],
                step: AdamWStep(
                    learningRate: rate, beta1: Float(settings.beta1), beta2: Float(settings.beta2),
                    epsilon: Float(settings.epsilon),
                    weightDecay: group.decays ? Float(settings.weightDecay) : 0,
                    correction1: Float(1 - power(settings.beta1, steps)),
                    correction2: Float(1 - power(settings.beta2, steps))))
        }
    }
}

extension InnerOptimizer {
    /// The same optimizer with moments of its own.
    package func duplicate() -> InnerOptimizer {
        InnerOptimizer(copying: self)
    }

    private init(copying other: InnerOptimizer) {
        settings = other.settings
        schedule = other.schedule
        groups = other.groups
        firstMoment = other.firstMoment.duplicate()
        secondMoment = other.secondMoment.duplicate()
        steps = other.steps
        joinedLate = other.joinedLate
    }
}
