internal import MoE

/// What a prompt was continued with.
package struct Generation: Sendable, Equatable {
    /// Why generation ended.
    package enum End: Sendable, Equatable {
        /// A stop token came up; it is not among the tokens.
        case stopToken(Int32)
        case tokensMax
        /// The decoder's cache is full.
        case capacity
    }

    package let tokens: [Int32]
    package let end: End
}

extension Decoder {
    /// Continues `prompt` by at most `tokensMax` tokens, forgetting what the decoder held before,
    /// and calls `onToken` with each as it is drawn.
    ///
    /// For a decoder of one sequence.
    ///
    /// Throws ``InferenceError`` if the prompt is empty, longer than the cache or holds tokens the
    /// model does not have, or if a mask router's logits are not numbers, and whatever `onToken`
    /// throws, which ends the generation.
    package func generate(
        prompt: [Int32], tokensMax: Int, sampler: inout Sampler, until stopTokens: Set<Int32> = [],
        onToken: (Int32) throws -> Void = { _ in }
    ) throws -> Generation {
        precondition(batch == 1, "generation continues one sequence, not \(batch)")
        try check(prompt)
        reset()
        var tokens: [Int32] = []
        guard tokensMax > 0 else { return Generation(tokens: [], end: .tokensMax) }
        let invalidBefore = activity.invalid
        var logits_V = decode(prompt)
        try checkMasks(since: invalidBefore)
        while true {
            let token = sampler.sample(logits_V)
            if stopTokens.contains(token) {
                return Generation(tokens: tokens, end: .stopToken(token))
            }
            tokens.append(token)
            try onToken(token)
            if tokens.count == tokensMax { return Generation(tokens: tokens, end: .tokensMax) }
            if length == capacity { return Generation(tokens: tokens, end: .capacity) }
            logits_V = decode([token])
            try checkMasks(since: invalidBefore)
        }
    }

    /// Throws if mask logits were no numbers that had not been counted before.
    ///
    /// Their slots count as closed, and text from broken weights would pass for the model's.
    private func checkMasks(since before: Int) throws(InferenceError) {
        guard activity.invalid == before else {
            throw InferenceError(
                .invalidMask,
                "\(activity.invalid - before) mask logits are not numbers, so the weights are"
                    + " broken; take another checkpoint, or see whether it works without masks")
        }
    }

    private func check(_ prompt: [Int32]) throws(InferenceError) {
        guard !prompt.isEmpty else {
            throw InferenceError(.emptyPrompt, "the prompt is empty; give at least one token")
        }
        guard prompt.count <= capacity else {
            throw InferenceError(
                .promptTooLong,
                "the prompt has \(prompt.count) tokens; at most \(capacity) fit, so shorten it")
        }
        let vocabulary = configuration.vocabularySize
        for token in prompt where token < 0 || Int(token) >= vocabulary {
            throw InferenceError(
                .unknownToken,
                "the prompt has token \(token); the model has 0 to \(vocabulary - 1)")
        }
    }
}
