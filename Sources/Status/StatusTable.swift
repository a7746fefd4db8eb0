package import Wire

/// What `martlet status` prints.
package enum StatusTable {
    /// Letters per line where there is no terminal.
    package static let defaultWidth = 132

    /// Several lines, each of at most `width` letters and ended by a line feed.
    ///
    /// No control characters: names were checked when nodes joined.
    package static func text(
        of status: Martlet_V1_RunStatus, width: Int = defaultWidth
    ) -> String {
        var lines = head(of: status).map { String($0.prefix(width)) }
        lines += [""] + members(of: status).lines(width: width)
        if !status.modules.isEmpty { lines += [""] + modules(of: status).lines(width: width) }
        return lines.map { $0 + "\n" }.joined()
    }

    private static func head(of status: Martlet_V1_RunStatus) -> [String] {
        var lines = ["run \(status.name)  \(status.state.label)  \(roundText(status))"]
        if !status.reason.isEmpty { lines[0] += "  (\(status.reason))" }
        var time = "time        \(Figures.duration(status.elapsedSeconds))"
        if status.hasRemainingSeconds {
            time += ", about \(Figures.duration(status.remainingSeconds)) left"
        }
        lines.append(time)
        lines.append("loss        \(lossText(status))")
        if let masks = masksText(status) { lines.append("experts     \(masks)") }
        lines += layerLines(status)
        lines.append(
            "speed       \(Figures.count(status.tokensPerSecond)) tokens/s, "
                + "\(Figures.count(status.tokens)) tokens, \(Figures.count(status.lostTokens)) lost"
        )
        lines.append("traffic     \(trafficText(status))")
        lines.append(
            "pushes      \(status.contributionsApplied) applied, \(status.contributionsLate) late, "
                + "\(status.contributionsStale) stale")
        if status.hasCheckpoint {
            lines.append(
                "checkpoint  \(status.checkpoint.path) (round \(status.checkpoint.round))")
        }
        return lines
    }

    static func roundText(_ status: Martlet_V1_RunStatus) -> String {
        guard status.roundsTotal > 0 else { return "round \(status.round)" }
        return "round \(status.round)/\(status.roundsTotal)"
    }

    static func lossText(_ status: Martlet_V1_RunStatus) -> String {
        var parts: [String] = []
        if status.hasTrainLoss { parts.append("train \(Figures.loss(status.trainLoss))") }
        if status.hasHeldOutLoss {
            parts.append(
                "held out \(Figures.loss(status.heldOutLoss)) at round \(status.heldOutRound)")
        }
        if status.hasBestHeldOutLoss {
            parts.append("best \(Figures.loss(status.bestHeldOutLoss))")
        }
        return parts.isEmpty ? "not yet measured" : parts.joined(separator: ", ")
    }

    /// What masks leave, where they are learnt.
    static func masksText(_ status: Martlet_V1_RunStatus) -> String? {
        guard status.hasActiveExperts else { return nil }
        return "\(Figures.fixed(status.activeExperts, digits: 2)) live per token,"
            + " \(Figures.fixed(100 * status.emptyShare, digits: 1)) % of tokens without"
    }

    /// Live experts of a token in each layer that has some, in lines of ``layersOfLine``.
    private static func layerLines(_ status: Martlet_V1_RunStatus) -> [String] {
        guard status.hasActiveExperts else { return [] }
        let layers = layersText(status).split(separator: " ")
        return stride(from: 0, to: layers.count, by: layersOfLine).map { first in
            let some = layers[first..<min(first + layersOfLine, layers.count)]
            return (first == 0 ? "  by layer  " : "            ") + some.joined(separator: " ")
        }
    }

    /// Live experts of a token, layer by layer.
    static func layersText(_ status: Martlet_V1_RunStatus) -> String {
        status.masks.map { Figures.fixed($0.activeExperts, digits: 2) }.joined(separator: " ")
    }

    private static let layersOfLine = 16

    static func trafficText(_ status: Martlet_V1_RunStatus) -> String {
        guard status.hasBytesUpPerToken, status.hasBytesDownPerToken else {
            return "\(Figures.bytes(status.bytesUp)) up, \(Figures.bytes(status.bytesDown)) down"
        }
        let up = Figures.fixed(status.bytesUpPerToken, digits: 1)
        let down = Figures.fixed(status.bytesDownPerToken, digits: 1)
        return "\(up) bytes/token up, \(down) down"
    }

    private static func members(of status: Martlet_V1_RunStatus) -> TextTable {
        var table = TextTable([
            ("NAME", .left), ("ROLE", .left), ("STATE", .left), ("TOKENS/S", .right),
            ("ROUND", .right), ("STEP", .right), ("SEEN", .right), ("TOKENS", .right),
            ("UP", .right), ("DOWN", .right), ("THROTTLE", .right), ("ADDRESS", .left),
        ])
        for member in status.members {
            let trains = member.role == .worker
            table.add([
                member.name, member.role.label, member.state.label,
                trains ? Figures.count(member.tokensPerSecond) : "-",
                trains ? "\(member.round)" : "-", trains ? "\(member.stepsInRound)" : "-",
                Figures.duration(member.lastSeenSeconds),
                trains ? Figures.count(member.tokens) : "-",
                trains ? Figures.bytes(member.bytesUp) : "-",
                trains ? Figures.bytes(member.bytesDown) : "-",
                trains ? Figures.fixed(member.throttle, digits: 2) : "-",
                member.address,
            ])
        }
        return table
    }

    private static func modules(of status: Martlet_V1_RunStatus) -> TextTable {
        var table = TextTable([
            ("MODULE", .left), ("VERSION", .right), ("SHARD", .left), ("PARAMETERS", .right),
        ])
        for module in status.modules {
            table.add([
                module.name, "\(module.version)", module.shard, "\(module.parameters)",
            ])
        }
        return table
    }
}
