import FoundationEssentials
import Inference
import MoE
import Storage
import Tensors

/// Text from a checkpoint.
enum TextGeneration {
    /// Continues the prompt, handing out pieces of text as they come; never half a character.
    ///
    /// - Throws: `StorageError`, `ModelConfigurationError`, `InferenceError` or `CommandError`
    /// where the checkpoint, the prompt or what is asked of its masks will not do.
    static func run(
        _ request: GenerationRequest, write: (String) -> Void
    ) throws -> GenerationResult {
        let checkpoint = try CheckpointStore.resolve(request.model)
        let configuration = try ModelConfiguration(
            configurationJSON: Data(checkpoint.configuration))
        let masking = try request.routing.masking(
            .skipping, of: configuration, named: checkpoint.path)
        let tokenizer = try checkpoint.tokenizer()
        let layout = configuration.layout
        let parameters = FloatBuffer(count: layout.count)
        try checkpoint.loadParameters(layout: layout, into: parameters)

        let prompt = try checkpoint.promptIDs(request.prompt, tokenizer)
        let vocabulary = min(tokenizer.vocabularySize, configuration.vocabularySize)
        guard prompt.allSatisfy({ $0 < vocabulary }) else {
            throw StorageError(
                .mismatch,
                "the tokenizer of \(checkpoint.path) has \(tokenizer.vocabularySize) tokens, and"
                    + " its model only \(vocabulary)")
        }
        let capacity = min(configuration.positionsMax, prompt.count + request.tokensMax)
        let decoder = Inference.Decoder<Float>(
            configuration: configuration, parameters: parameters, capacity: capacity)
        decoder.masking = masking
        var sampler = Sampler(
            try Sampling(
                temperature: request.temperature, topK: request.topK, topP: request.topP),
            seed: request.seed, vocabulary: vocabulary)
        let stops = try checkpoint.endIDs() + (configuration.paddingToken.map { [Int32($0)] } ?? [])
        var stream = tokenizer.stream()
        var text = ""
        let generation = try decoder.generate(
            prompt: prompt, tokensMax: request.tokensMax, sampler: &sampler,
            until: Set(stops)
        ) { token in
            let piece = stream.append(token)
            text += piece
            write(piece)
        }
        let rest = stream.finish()
        write(rest)
        return GenerationResult(
            text: text + rest, tokens: generation.tokens.count,
            activePerToken: decoder.activity.rowsPerToken)
    }
}
