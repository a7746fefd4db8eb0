import Codec
import LocalSGD
import Status

/// Every key there is.
///
/// Parsing, validation, `martlet up --explain-config` and `docs/configuration.md` all come from
/// here.
enum ConfigurationTable {
    static let keys: [ConfigurationKey] =
        run + model + training + modes + masks + optimizers + observation + cluster

    static let byName: [String: ConfigurationKey] = Dictionary(
        uniqueKeysWithValues: keys.map { ($0.name, $0) })

    private static let nameRule =
        "1 to 63 lower-case letters, digits and hyphens, not starting with a hyphen"

    private static let run: [ConfigurationKey] = [
        .text("name", \.name, allowed: nameRule, "Name of the run.", isAllowed: isNodeName),
        .text(
            "folder", \.folder, allowed: "a path, or empty for runs/NAME",
            "Run folder: identities, logs, status socket and checkpoints.", isAllowed: isPath),
        .paths("corpus", \.corpus, "Files and folders with the text to train on."),
        .seed("seed", \.run.seed, "Seed of everything random: weights, order of the text."),
        .text(
            "status.socket", \.statusSocket,
            allowed: "a path of up to \(StatusServer.pathBytesMax) bytes, or empty for status.sock "
                + "in the run folder",
            "Unix socket on which the coordinator answers `martlet status`.",
            isAllowed: { isPath($0) && $0.utf8.count <= StatusServer.pathBytesMax }),
    ]

    private static let model: [ConfigurationKey] = [modelFolder] + architecture + [sequenceLength]

    private static let modelFolder = ConfigurationKey.text(
        "model.from", \.model.from, allowed: "a path, or empty for a fresh model",
        "Checkpoint folder with whose model, parameters and tokenizer the run begins; of the keys "
            + "of the model, only sequence_length may then be given.",
        isAllowed: isPath)

    private static let sequenceLength = ConfigurationKey.integer(
        "model.sequence_length", \.run.sequenceLength, 2...65536,
        "Tokens per training sequence, T.")

    /// What config.json says where a run begins with a checkpoint folder.
    static let architecture: [ConfigurationKey] = [
        .integer("model.hidden_size", \.model.hiddenSize, 8...16384, "Width of the model, D."),
        .integer("model.layers", \.model.layers, 1...256, "Decoder layers, L."),
        .integer("model.heads", \.model.heads, 1...256, "Attention heads, H."),
        .integer("model.kv_heads", \.model.kvHeads, 1...256, "Key and value heads; divides heads."),
        .integer("model.head_dim", \.model.headDimension, 2...512, "Width of a head; even."),
        .integer("model.experts", \.model.experts, 1...1024, "Experts per layer, E."),
        .integer(
            "model.experts_per_token", \.model.expertsPerToken, 1...64,
            "Experts each token is sent to, K; at most experts."),
        .integer(
            "model.expert_hidden_size", \.model.expertHiddenSize, 1...65536,
            "Hidden width of an expert, F."),
        .integer(
            "model.shared_expert_hidden_size", \.model.sharedExpertHiddenSize, 0...65536,
            "Hidden width of the expert that all tokens pass; 0 for none."),
        .toggle("model.qk_norm", \.model.qkNorm, "Whether queries and keys are normalised."),
        .toggle(
            "model.norm_topk_prob", \.model.normalizeTopK,
            "Whether the routing weights of a token's experts are scaled to sum to 1."),
        .number(
            "model.rope_theta", \.model.ropeTheta, .above(0, to: 1e9),
            "Base of the rotary position embedding."),
        .toggle(
            "model.tie_embeddings", \.model.tieEmbeddings,
            "Whether the embedding is also the output matrix."),
        .number(
            "model.load_balancing_coefficient", \.model.loadBalancingCoefficient, .from(0, to: 1),
            "Weight of the load-balancing loss."),
    ]

    private static let training: [ConfigurationKey] = [
        .choice(
            "training.mode", \.run.mode,
            "When contributions are taken up: after fixed steps, after a fixed time, or at once."),
        .integer(
            "training.rounds", \.run.rounds.total, 1...10_000_000,
            "Rounds of the whole run, warm-up included."),
        .integer(
            "training.warmup_rounds", \.run.rounds.warmup, 0...1_000_000,
            "Rounds of one step at the start, in which gradients are averaged."),
        .integer(
            "training.sync_interval", \.run.rounds.syncInterval, 1...100_000,
            "Inner steps per round after the warm-up; elsewhere, what a round counts for."),
        .integer(
            "training.batch_size", \.run.rounds.batchSize, 1...4096,
            "Sequences per inner step and worker, B."),
        .number(
            "training.quorum", \.run.rounds.quorum, .above(0, to: 1),
            "Fraction of a round's workers that suffices once its deadline has passed."),
        .number(
            "training.round_deadline", \.run.rounds.deadlineSeconds, .from(1, to: 86_400),
            "Seconds after which a round closes without its slowest workers."),
        .integer(
            "training.minimum_workers", \.run.rounds.minimumWorkers, 1...1024,
            "Workers that must have joined before the first round opens."),
        .text(
            "training.codec", \.run.codec, allowed: codecs,
            "Coding of contributions after the warm-up: raw is 32-bit floats, /plain goes without "
                + "zstd, topk keeps 64 (or N) of 4096 numbers in 2 bits and says the rest later, "
                + "best with training.outer.momentum 0 and learning_rate 1.",
            isAllowed: { Codec(name: $0) != nil }),
        .number(
            "training.feedback_decay", \.run.feedbackDecay, .from(0, to: 1),
            "Factor from round to round on what topk has left unsaid; with 1 nothing is lost."),
        .text(
            "training.pull_codec", \.run.pulls.codec, allowed: "auto, " + codecs,
            "Coding of what servers change for workers after the warm-up; what it leaves out is "
                + "said later, so topk is best with training.outer.momentum 0. auto: as "
                + "training.codec, but topk keeps 9/4 as many numbers, 144 at least.",
            isAllowed: { $0 == PullSettings.automatic || Codec(name: $0) != nil }),
        .integer(
            "training.pull_every", \.run.pulls.fullEvery, 0...1_000_000,
            "Versions after which pulls that are not raw bring everything, as 32-bit floats; 0: "
                + "never."),
    ]

    private static let codecs =
        "raw, bf16, int8, int4, fp4, any of those four with /plain, topk or topk/N"

    private static let optimizers: [ConfigurationKey] = [
        .choice("training.inner.optimizer", \.run.inner.method, "The optimizer in a worker."),
        .number(
            "training.inner.learning_rate", \.run.inner.learningRate, .above(0, to: 100),
            "Peak learning rate of the inner optimizer."),
        .integer(
            "training.inner.warmup_steps", \.run.inner.warmupSteps, 0...10_000_000,
            "Inner steps over which the learning rate rises from 0."),
        .number(
            "training.inner.final_learning_rate_fraction", \.run.inner.finalFraction,
            .from(0, to: 1), "Learning rate at the end of the run, as a fraction of the peak."),
        .number("training.inner.beta1", \.run.inner.beta1, below1, "AdamW's first decay."),
        .number("training.inner.beta2", \.run.inner.beta2, below1, "AdamW's second decay."),
        .number(
            "training.inner.epsilon", \.run.inner.epsilon, .above(0, to: 1), "AdamW's epsilon."),
        .number(
            "training.inner.weight_decay", \.run.inner.weightDecay, .from(0, to: 10),
            "AdamW's decoupled weight decay."),
        .number(
            "training.inner.clip_norm", \.run.inner.clipNorm, .from(0, to: 1e6),
            "Largest norm of a gradient; 0 switches clipping off."),
        .integer(
            "training.inner.rejoin_steps", \.run.inner.rejoinSteps, 0...1_000_000,
            "Inner steps over which a late worker's learning rate rises."),
        .number(
            "training.outer.learning_rate", \.run.outer.learningRate, .above(0, to: 10),
            "Learning rate of the outer optimizer."),
        .number("training.outer.momentum", \.run.outer.momentum, below1, "Outer momentum."),
        .toggle(
            "training.outer.nesterov", \.run.outer.nesterov,
            "Whether the outer momentum looks ahead."),
        .number(
            "training.outer.clip_norm", \.run.outer.clipNorm, .from(0, to: 1e6),
            "Largest norm of a module's mean pseudo-gradient; 0: as training.clip.adaptive says."),
    ]

    private static let below1 = Bounds.from(0, to: 0.999_999)

    private static let observation: [ConfigurationKey] = [
        .number(
            "evaluation.held_out_fraction", \.heldOutFraction, .above(0, to: 0.5),
            "Part of the text that is never trained on."),
        .integer(
            "evaluation.sequences", \.run.observation.evaluationSequences, 1...100_000,
            "Held-out sequences per measurement, at most."),
        .integer(
            "evaluation.every_rounds", \.run.observation.evaluateEvery, 0...1_000_000,
            "Rounds between measurements of the held-out loss; 0 measures the end only."),
        .integer(
            "checkpoint.every_rounds", \.run.observation.checkpointEvery, 0...1_000_000,
            "Rounds between checkpoints; 0 keeps the end only."),
        .integer("checkpoint.keep", \.checkpointsKept, 1...10_000, "Checkpoints kept."),
    ]

    private static let cluster: [ConfigurationKey] = [
        .integer("cluster.shards", \.cluster.shards, 1...64, "Shard servers."),
        .text(
            "cluster.host", \.cluster.host, allowed: "a host name or address",
            "Address that the processes of a local cluster listen on.",
            isAllowed: {
                !$0.isEmpty && $0.utf8.count <= 253 && !$0.contains(where: \.isWhitespace)
            }
        ),
        .integer(
            "cluster.port", \.cluster.port, 0...65_000,
            "Port of the coordinator, followed by those of the shard servers; 0: any free ones."),
        .workers("cluster.workers", \.cluster.workers, "Workers that `martlet up` starts."),
        .number(
            "cluster.heartbeat", \.cluster.heartbeatSeconds, .from(0.1, to: 60),
            "Seconds between two signs of life."),
    ]

    private static func isPath(_ text: String) -> Bool { !text.utf8.contains(0) }
}
