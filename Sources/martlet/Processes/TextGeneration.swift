import FoundationEssentials
import Inference
import MoE
import Storage
import Tensors

/// Text from a checkpoint.
enum TextGeneration {
    /// Continues the prompt, handing out pieces of text as they come; never half a character.
    ///
    /// - Throws: `StorageError`, `ModelConfigurationError` or `InferenceError` where the checkpoint
    /// or the prompt will not do.
    static func run(
        _ request: GenerationRequest, write: (String) -> Void
    ) throws -> GenerationResult {
        let checkpoint = try CheckpointStore.resolve(request.model)
        let configuration = try ModelConfiguration(
            configurationJSON: Data(checkpoint.configuration))
        let tokenizer = try checkpoint.tokenizer()
        let layout = configuration.layout
        let parameters = FloatBuffer(count: layout.count)
        try checkpoint.loadParameters(layout: layout, into: parameters)

        // Without a document's end in front, an empty prompt would have nothing to continue.
        let prompt = [Int32(ByteTokenizer.endOfText)] + tokenizer.encode(request.prompt)
        let capacity = min(configuration.positionsMax, prompt.count + request.tokensMax)
        let decoder = Inference.Decoder<Float>(
            configuration: configuration, parameters: parameters, capacity: capacity)
        var sampler = Sampler(
            try Sampling(
                temperature: request.temperature, topK: request.topK, topP: request.topP),
            seed: request.seed, vocabulary: ByteTokenizer.vocabularySize)
        var stream = TextStream()
        var text = ""
        let generation = try decoder.generate(
            prompt: prompt, tokensMax: request.tokensMax, sampler: &sampler,
            until: [Int32(ByteTokenizer.endOfText), Int32(ByteTokenizer.padding)]
        ) { token in
            let piece = stream.append(token)
            text += piece
            write(piece)
        }
        let rest = stream.finish()
        write(rest)
        return GenerationResult(text: text + rest, tokens: generation.tokens.count)
    }
}
