import LocalSGD
import Status

/// What several keys must fulfil together.
extension LoadedConfiguration {
    func checkTogether() throws(ConfigurationError) {
        let model = configuration.model
        let rounds = configuration.run.rounds
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
        let socket = configuration.statusSocketPath
        let limit = "a socket path of up to \(Self.socketBytesMax) bytes; set status.socket"
        let key = configuration.statusSocket.isEmpty ? "folder" : "status.socket"
        try require(
            socket.utf8.count <= Self.socketBytesMax, key, found: socket.utf8.count, limit)
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
