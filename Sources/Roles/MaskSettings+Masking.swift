package import LocalSGD
package import MoE

extension MaskSettings {
    /// What a training pass at inner step `step` of the run does with masks, where `coefficient` is
    /// in force.
    package func masking(atStep step: Int, _ coefficient: Double) -> Masking {
        guard isOn else { return .off }
        var masking = Masking(.training)
        masking.bias = bias(atStep: step)
        masking.coefficient = self.coefficient(coefficient, atStep: step)
        masking.squares = regularizer == .l2
        return masking
    }

    /// What a measurement does with masks: as where the model is used, closed slots are left out.
    ///
    /// A run that trains without looking at masks measures so, too: that is the loss that it makes
    /// small.
    package var measuring: Masking { isOn ? Masking(.skipping) : .off }
}
