internal import Codec
internal import LocalSGD
internal import NIOCore
internal import Tensors
internal import Wire

/// What a lossy codec makes a trainer remember, on the way out and on the way in.
extension LocalTrainer {
    // MARK: Out

    /// What earlier updates have left unsaid, for all parameters; `nil` if no module has any.
    ///
    /// Between rounds no update is in flight, so this is all that a resume needs of it.
    var keptResidual: FloatBuffer? {
        guard !feedback.isEmpty else { return nil }
        let residual = FloatBuffer(count: layout.count)
        for (index, module) in layout.modules.enumerated() {
            if let kept = feedback[index]?.kept { residual[module.range].copy(from: kept) }
        }
        return residual
    }

    /// Goes on with what was left unsaid in an earlier life, if anything was.
    func restoreResidual(_ residual: FloatBuffer?) {
        feedback = [:]
        guard let residual else { return }
        for (index, module) in layout.modules.enumerated() {
            feedback[index] = fresh(residual[module.range].duplicate())
        }
    }

    /// What is remembered of a module of which `residual` is left unsaid.
    func fresh(_ residual: FloatBuffer) -> ErrorFeedback {
        ErrorFeedback(residual: residual, beta: Float(settings.feedbackDecay))
    }

    // MARK: In

    /// The anchor of `module` after `deltas`, one on top of the other; the anchor itself stays.
    ///
    /// Throws where a delta is none, or where the result has not the `checksum` of what the server
    /// thinks that workers have.
    func anchor(
        of module: Int, after deltas: [ByteBuffer], codec: Codec, checksum: UInt32
    ) throws(CodecError) -> FloatBuffer {
        let parameters = anchor[layout.modules[module].range].duplicate()
        for delta in deltas {
            try BroadcastShadow.receive(delta, codec: codec, parameters: parameters)
        }
        let found = Checksum.of(parameters)
        guard found == checksum else {
            throw CodecError(.mismatch, "checksum \(found) instead of the server's \(checksum)")
        }
        return parameters
    }
}
