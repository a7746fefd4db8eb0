import FoundationEssentials
import MoE
import Storage
import Tensors

/// What is decoded: a model, and what each sequence begins with.
struct DecodeSubject {
    /// Bytes of a text that prompts are taken from, at most.
    static let textBytesMax = 4 << 20

    /// What the report calls the model.
    let name: String
    let configuration: ModelConfiguration
    let parameters: FloatBuffer
    /// Prompts of equal length [B,T].
    let prompts: [Int32]

    /// A model that knows nothing, with prompts of random tokens; it has masks if the plan asks for
    /// them, and random ones if some slots are to be closed.
    ///
    /// - Throws: `CommandError` where the plan does not fit the model.
    static func fresh(
        _ configuration: ModelConfiguration, named name: String, _ plan: DecodeBenchmark.Plan
    ) throws -> DecodeSubject {
        var configuration = configuration
        configuration.masksExperts = plan.routing == .beam
        try plan.check(configuration, of: name)
        let parameters = configuration.initialParameters(seed: 1)
        if plan.live != nil { drawMasks(in: parameters, configuration) }
        return DecodeSubject(
            name: name, configuration: configuration, parameters: parameters,
            prompts: .random(plan.batch * plan.prompt, below: configuration.vocabularySize))
    }

    /// The model of the checkpoint at `path`, with prompts from the text file at `text`, or else of
    /// random tokens.
    ///
    /// - Throws: `StorageError`, `ModelConfigurationError` or `CommandError` where the checkpoint
    /// or the text will not do.
    static func saved(
        _ path: String, text: String?, _ plan: DecodeBenchmark.Plan
    ) throws -> DecodeSubject {
        let checkpoint = try CheckpointStore.resolve(path)
        let configuration = try ModelConfiguration(
            configurationJSON: Data(checkpoint.configuration))
        try plan.check(configuration, of: checkpoint.path)
        let prompts: [Int32]
        if let text {
            prompts = try Self.prompts(
                of: text, checkpoint, vocabulary: configuration.vocabularySize, plan)
        } else {
            prompts = .random(plan.batch * plan.prompt, below: configuration.vocabularySize)
        }
        let layout = configuration.layout
        let parameters = FloatBuffer(count: layout.count)
        try checkpoint.loadParameters(layout: layout, into: parameters)
        return DecodeSubject(
            name: path, configuration: configuration, parameters: parameters, prompts: prompts)
    }

    /// Pieces of the text at `path` [B,T], at equal distances, so that sequences are as different
    /// as the text is.
    private static func prompts(
        of path: String, _ checkpoint: Checkpoint, vocabulary: Int, _ plan: DecodeBenchmark.Plan
    ) throws -> [Int32] {
        let tokenizer = try checkpoint.tokenizer()
        let bytes = try AtomicFile.read(path)
        let ids = try tokenizer.encode(
            String(decoding: bytes.prefix(textBytesMax), as: UTF8.self))
        guard ids.allSatisfy({ $0 < vocabulary }) else {
            throw StorageError(
                .mismatch,
                "the tokenizer of \(checkpoint.path) has \(tokenizer.vocabularySize) tokens, and"
                    + " its model only \(vocabulary)")
        }
        let needed = plan.batch * plan.prompt
        guard ids.count >= needed else {
            throw CommandError(
                .badData,
                "\(path) has \(ids.count) tokens, and \(plan.batch) prompts of \(plan.prompt) need"
                    + " \(needed); give more text, or a smaller --batch or --prompt")
        }
        let distance = ids.count / plan.batch
        return (0..<plan.batch).flatMap { ids[$0 * distance..<$0 * distance + plan.prompt] }
    }

    /// Gives every mask router random weights, of a size that makes the deviation of its logits
    /// about 1: what it sees is normed, D numbers whose mean square is 1.
    private static func drawMasks(
        in parameters: FloatBuffer, _ configuration: ModelConfiguration
    ) {
        var normal = NormalNumbers(seed: 1)
        let deviation = 1 / Double(configuration.hiddenSize).squareRoot()
        for layer in ModelPlaces(configuration).weights(in: parameters).layers {
            guard case .experts(let experts) = layer.feedForward,
                let both_2ED = experts.routerAndMask_2ED
            else { continue }
            let mask_ED = both_2ED[both_2ED.count / 2..<both_2ED.count]
            for index in 0..<mask_ED.count {
                mask_ED[index] = Float(deviation * normal.next())
            }
        }
    }
}

extension DecodeBenchmark.Plan {
    /// Throws `CommandError` unless a model, which the message calls `name`, can be decoded so.
    func check(_ configuration: ModelConfiguration, of name: String) throws(CommandError) {
        try routing.check(configuration, of: name)
        guard positions <= configuration.positionsMax else {
            throw CommandError(
                .usage,
                "--prompt \(prompt) and --tokens \(tokens) make \(positions) tokens with those"
                    + " that are not measured; \(name) takes \(configuration.positionsMax)"
                    + " (max_position_embeddings)")
        }
    }
}
