import FoundationEssentials
import MoE
import Storage
import Tensors

/// What to evaluate.
struct EvaluationRequest: Sendable {
    /// Path of the checkpoint folder, ours or any Hugging Face folder of a supported family.
    var model: String
    /// Path of the token ids, see `TokenRows`.
    var ids: String
    /// Path of the file to write, where nothing may be yet.
    var dump: String
    /// Path of a new folder to save the model in as well, if wanted.
    var save: String?
    var precision = Precision.fp32
    var threads = 1
    var routing = RoutingRequest()
}

/// What came of it.
struct EvaluationResult: Sendable {
    /// Mean cross-entropy of the next token, in nats.
    var loss: Double
    /// Next tokens that it is the mean over.
    var targets: Int
    var sequences: Int
    /// Tensors in the file.
    var tensors: Int
    /// Routed experts that a token needs, on average over tokens and layers.
    var activePerToken: Double
}

/// Everything that a model computes from given tokens, for comparison with other programs.
enum ModelEvaluation {
    /// Writes logits, hidden states, router logits, the loss and its gradient by every parameter
    /// into one safetensors file; the loss is without load balancing.
    ///
    /// - Throws: `StorageError`, `ModelConfigurationError` or `CommandError` where the checkpoint,
    /// what is asked of its masks, the tokens or the place of the file will not do.
    static func run(_ request: EvaluationRequest) throws -> EvaluationResult {
        KernelThreads.set(request.threads)
        defer { KernelThreads.stop() }
        let checkpoint = try CheckpointStore.resolve(request.model)
        var configuration = try ModelConfiguration(
            configurationJSON: Data(checkpoint.configuration))
        configuration.loadBalancingCoefficient = 0
        // As in training: closed experts add nothing, and have gradients all the same.
        let masking = try request.routing.masking(
            .training, of: configuration, named: checkpoint.path)
        let rows = try TokenRows(
            path: request.ids, vocabulary: configuration.vocabularySize,
            lengthMax: configuration.positionsMax)
        let layout = configuration.layout
        let parameters = FloatBuffer(count: layout.count)
        try checkpoint.loadParameters(layout: layout, into: parameters)
        if let folder = request.save {
            try save(parameters, layout, configuration: checkpoint.configuration, in: folder)
        }

        var tensors: NamedTensors
        let report: LossReport
        let gradients = FloatBuffer(count: parameters.count)
        switch request.precision {
        case .fp32:
            tensors = traced(configuration, parameters, rows, masking) { $0 }
            report = differentiated(configuration, parameters, rows, masking, into: gradients)
        case .bf16:
            let rounded = Buffer<BFloat16>(count: parameters.count)
            rounded.round(parameters)
            tensors = traced(configuration, rounded, rows, masking) { $0.widened() }
            report = differentiated(configuration, rounded, rows, masking, into: gradients)
        }
        let tally = report.masks.reduce(into: MaskTally()) { $0 += $1 }
        guard tally.invalid == 0 else {
            throw CommandError.brokenMasks(tally.invalid, of: checkpoint.path)
        }
        tensors.append(("loss", [1], FloatBuffer([Float(report.meanCrossEntropy)])))
        for tensor in layout.tensors {
            tensors.append(("grad.\(tensor.name)", tensor.shape, gradients[tensor.range]))
        }
        try write(tensors, to: request.dump)
        return EvaluationResult(
            loss: report.meanCrossEntropy, targets: report.tokens, sequences: rows.rows,
            tensors: tensors.count,
            activePerToken: tally.tokens > 0
                ? Double(tally.live) / Double(tally.tokens)
                : Double(configuration.expertLayers.isEmpty ? 0 : configuration.expertsPerToken))
    }

    private typealias NamedTensors = [(name: String, shape: [Int], values: FloatBuffer)]

    private static func traced<Element: KernelElement>(
        _ configuration: ModelConfiguration, _ parameters: Buffer<Element>, _ rows: TokenRows,
        _ masking: Masking, widened: (Buffer<Element>) -> FloatBuffer
    ) -> NamedTensors where Element.Sum == Float {
        let (B, T) = (rows.rows, rows.length)
        let trace = Transformer<Element>(configuration: configuration, batch: B, sequence: T)
            .trace(of: parameters, tokens: rows.tokens, masking: masking)
        var tensors: NamedTensors = [
            ("logits", [B, T, configuration.vocabularySize], trace.logits_MV)
        ]
        for (index, hidden) in trace.hidden.enumerated() {
            tensors.append(
                ("hidden_\(index)", [B, T, configuration.hiddenSize], widened(hidden)))
        }
        for (index, logits) in trace.routerLogits.enumerated() {
            tensors.append(("router_logits_\(index)", [B * T, configuration.experts], logits))
        }
        for (index, logits) in trace.maskLogits.enumerated() {
            tensors.append(("mask_logits_\(index)", [B * T, configuration.experts], logits))
        }
        return tensors
    }

    private static func differentiated<Element: KernelElement>(
        _ configuration: ModelConfiguration, _ parameters: Buffer<Element>, _ rows: TokenRows,
        _ masking: Masking, into gradients: FloatBuffer
    ) -> LossReport where Element.Sum == Float {
        Transformer<Element>(
            configuration: configuration, batch: rows.rows, sequence: rows.length - 1
        ).gradients(of: parameters, tokens: rows.tokens, masking: masking, into: gradients)
    }

    /// The model as checkpoints hold it: config.json, and one file of fp32 weights.
    private static func save(
        _ parameters: FloatBuffer, _ layout: ParameterLayout, configuration: [UInt8],
        in folder: String
    ) throws {
        do {
            try FileManager.default.createDirectory(
                atPath: folder, withIntermediateDirectories: false)
        } catch {
            throw CommandError(.cannotCreate, "\(folder) is no place for a new folder")
        }
        let json = try ModelConfiguration(configurationJSON: Data(configuration))
            .configurationJSON()
        try AtomicFile.write(Array(json), to: "\(folder)/config.json")
        try write(
            layout.tensors.map { ($0.name, $0.shape, parameters[$0.range]) },
            to: "\(folder)/\(SafetensorsFolder.singleName)")
    }

    private static func write(_ tensors: NamedTensors, to path: String) throws(StorageError) {
        let header = SafetensorsHeader(
            tensors: tensors.map { ($0.name, .float32, $0.shape) })
        var writer = try SafetensorsWriter(path: path, header: header)
        for tensor in tensors { try writer.append(tensor.values) }
        _ = try writer.finish()
    }
}
