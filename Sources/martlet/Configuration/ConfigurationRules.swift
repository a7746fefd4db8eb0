import Codec
import LocalSGD
import Status

/// What several keys must fulfil together.
extension LoadedConfiguration {
    func checkTogether() throws(ConfigurationError) {
        let model = configuration.model
        let rounds = configuration.run.rounds
        try checkFolder()
        try require(
            model.heads % model.kvHeads == 0, "model.kv_heads", found: model.kvHeads,
            "a divisor of model.heads, which is \(model.heads)")
        try require(
            model.headDimension % 2 == 0, "model.head_dim", found: model.headDimension,
            "an even number")
        try require(
            model.expertsPerToken <= model.experts, "model.experts_per_token",
            found: model.expertsPerToken, "at most model.experts, which is \(model.experts)")
        try require(
            rounds.warmup <= rounds.total, "training.warmup_rounds", found: rounds.warmup,
            "at most training.rounds, which is \(rounds.total)")
        try checkClip()
        try checkWeights()
        try checkBias()
        let socket = configuration.statusSocketPath
        let limit = "a socket path of up to \(Self.socketBytesMax) bytes; set status.socket"
        let key = configuration.statusSocket.isEmpty ? "folder" : "status.socket"
        try require(
            socket.utf8.count <= Self.socketBytesMax, key, found: socket.utf8.count, limit)
    }

    /// What works and is likely not meant, a sentence each.
    var warnings: [String] { [sparsePulls, untrainedModel].compactMap(\.self) }

    /// Sparse pulls say late what they leave out, and momentum says it again.
    ///
    /// How much harm that does depends on how far a round leads (docs/log.md), so it is no mistake.
    private var sparsePulls: String? {
        let (run, found) = (configuration.run, Codec.pulls(configuration.run))
        guard case .topK? = found, run.outer.momentum > Self.sparseMomentumMax else { return nil }
        let isAutomatic = run.pulls.codec == PullSettings.automatic
        return
            "training.pull_codec is \(found?.name ?? "")\(isAutomatic ? ", from auto," : "") and "
            + "training.outer.momentum \(plain(run.outer.momentum)): the run may learn badly "
            + "or diverge; set training.outer.momentum to 0 and training.outer.learning_rate "
            + "to 1, or training.pull_codec to int4"
    }

    /// Masks of a model that is random, and stays so.
    private var untrainedModel: String? {
        let training = configuration.run.masks.training
        guard configuration.modelFolder == nil, !training.trains(.dense) else { return nil }
        return
            "training.masks.training is \(training.rawValue) and model.from is not set: all else "
            + "of the model stays as random as it begins; set model.from to a trained model, or "
            + "training.masks.training to all"
    }

    /// Momentum above which sparse pulls cost more than they save.
    private static let sparseMomentumMax = 0.5

    /// A model has its shape from a folder, or from keys; not both.
    private func checkFolder() throws(ConfigurationError) {
        guard let folder = configuration.modelFolder else { return }
        for key in ConfigurationTable.architecture {
            guard let place = places[key.name] else { continue }
            throw ConfigurationError(
                key: key.name, found: key.yaml(configuration),
                allowed: "nothing where model.from is set; \(folder)/config.json says it",
                at: place)
        }
    }

    /// A bound is learnt, or given; not both.
    private func checkClip() throws(ConfigurationError) {
        let (clip, outer) = (configuration.run.penalty.clip, configuration.run.outer)
        try require(
            clip.firstRound <= clip.lastRound, "training.clip.first_round", found: clip.firstRound,
            "at most training.clip.last_round, which is \(clip.lastRound)")
        let isAskedFor =
            configuration.run.penalty.learnsClip && places["training.clip.adaptive"] != nil
        guard isAskedFor, outer.clipNorm > 0 else { return }
        throw ConfigurationError(
            key: "training.clip.adaptive", found: "true",
            allowed: "false where training.outer.clip_norm is set, which is "
                + plain(outer.clipNorm), at: places["training.clip.adaptive"] ?? .defaults)
    }

    /// What only some modes and weightings know is refused elsewhere, not passed over.
    private func checkWeights() throws(ConfigurationError) {
        let (mode, rounds) = (configuration.run.mode, configuration.run.rounds)
        if rounds.merge == .radial, mode == .asynchronous {
            throw ConfigurationError(
                key: "training.merge", found: rounds.merge.rawValue,
                allowed: "mean where training.mode is async, which has no rounds to merge",
                at: places["training.merge"] ?? .defaults)
        }
        if rounds.stepWeight > 0, rounds.weighting != .edit {
            throw ConfigurationError(
                key: "training.step_weight", found: plain(rounds.stepWeight),
                allowed: "0 where training.weighting is \(rounds.weighting.rawValue); "
                    + "only edit knows it", at: places["training.step_weight"] ?? .defaults)
        }
    }

    /// A bias that falls over no steps would never be there.
    private func checkBias() throws(ConfigurationError) {
        let masks = configuration.run.masks
        guard masks.bias > 0, masks.biasSteps == 0 else { return }
        throw ConfigurationError(
            key: "training.masks.bias", found: plain(masks.bias),
            allowed: "0 where training.masks.bias_steps is 0; set the steps over which it falls",
            at: places["training.masks.bias"] ?? .defaults)
    }

    private static var socketBytesMax: Int { StatusServer.pathBytesMax }

    private func require(
        _ holds: Bool, _ key: String, found: Int, _ allowed: String
    ) throws(ConfigurationError) {
        if holds { return }
        throw ConfigurationError(
            key: key, found: "\(found)", allowed: allowed, at: places[key] ?? .defaults)
    }
}
