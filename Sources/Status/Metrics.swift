package import Wire

/// `RunStatus` in the text format of Prometheus, version 0.0.4.
package enum Metrics {
    package static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    package static func text(of status: Martlet_V1_RunStatus) -> String {
        var page = Page()
        for state in Martlet_V1_RunStatus.State.allCases where state != .unspecified {
            page.add(
                "martlet_run_state", "gauge", "1 for the state the run is in, 0 for others.",
                state == status.state ? 1 : 0, ["run": status.name, "state": state.label])
        }
        page.addRun(status)
        for member in status.members { page.addMember(member) }
        for module in status.modules {
            page.add(
                "martlet_module_version", "gauge", "Outer steps applied to a module.",
                Double(module.version), ["module": module.name, "shard": module.shard])
        }
        return page.text
    }

    /// Collects samples; those of one name stay together under one heading, as the format demands.
    fileprivate struct Page {
        private var names: [String] = []
        private var blocks: [String: String] = [:]

        var text: String { names.map { blocks[$0] ?? "" }.joined() }

        mutating func add(
            _ name: String, _ type: String, _ help: String, _ value: Double,
            _ labels: KeyValuePairs<String, String> = [:]
        ) {
            guard value.isFinite else { return }
            if blocks[name] == nil {
                names.append(name)
                blocks[name] = "# HELP \(name) \(help)\n# TYPE \(name) \(type)\n"
            }
            let list = labels.map { "\($0.key)=\"\(escaped($0.value))\"" }.joined(separator: ",")
            blocks[name, default: ""] += name + (list.isEmpty ? "" : "{\(list)}") + " \(value)\n"
        }

        private func escaped(_ text: String) -> String {
            text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"")
                .replacing("\n", with: "\\n")
        }
    }
}

extension Metrics.Page {
    fileprivate mutating func addRun(_ status: Martlet_V1_RunStatus) {
        add("martlet_round", "gauge", "Rounds closed.", Double(status.round))
        add("martlet_rounds_planned", "gauge", "Rounds of the run.", Double(status.roundsTotal))
        add("martlet_steps_total", "counter", "Inner steps applied.", Double(status.steps))
        add("martlet_tokens_total", "counter", "Tokens applied.", Double(status.tokens))
        add("martlet_lost_tokens_total", "counter", "Tokens lost.", Double(status.lostTokens))
        add(
            "martlet_train_loss", "gauge", "Mean training loss, nats per token.",
            status.hasTrainLoss ? status.trainLoss : .nan)
        add(
            "martlet_held_out_loss", "gauge", "Mean held-out loss, nats per token.",
            status.hasHeldOutLoss ? status.heldOutLoss : .nan)
        add(
            "martlet_best_held_out_loss", "gauge", "Lowest held-out loss, nats per token.",
            status.hasBestHeldOutLoss ? status.bestHeldOutLoss : .nan)
        addMasks(status)
        add("martlet_elapsed_seconds", "gauge", "Run time.", status.elapsedSeconds)
        add(
            "martlet_remaining_seconds", "gauge", "Estimate of the run time left.",
            status.hasRemainingSeconds ? status.remainingSeconds : .nan)
        add(
            "martlet_tokens_per_second", "gauge", "Tokens per second of all workers.",
            status.tokensPerSecond)
        add("martlet_bytes_up_total", "counter", "Bytes to the shards.", Double(status.bytesUp))
        add(
            "martlet_bytes_down_total", "counter", "Bytes from the shards.",
            Double(status.bytesDown))
        let contributions: KeyValuePairs = [
            "applied": status.contributionsApplied, "late": status.contributionsLate,
            "stale": status.contributionsStale,
        ]
        for (verdict, count) in contributions {
            add(
                "martlet_contributions_total", "counter", "Contributions by verdict.",
                Double(count), ["verdict": verdict])
        }
        add("martlet_parameters", "gauge", "Parameters of the model.", Double(status.parameters))
        if status.hasCheckpoint {
            add(
                "martlet_checkpoint_round", "gauge", "Round of the newest checkpoint.",
                Double(status.checkpoint.round))
        }
    }

    private mutating func addMasks(_ status: Martlet_V1_RunStatus) {
        guard status.hasActiveExperts else { return }
        add(
            "martlet_mask_coefficient", "gauge", "Weight of the masks' regulariser.",
            status.hasMaskCoefficient ? status.maskCoefficient : .nan)
        for (index, layer) in status.masks.enumerated() {
            add(
                "martlet_active_experts", "gauge", "Live experts of a token.",
                layer.activeExperts, ["layer": "\(index)"])
            add(
                "martlet_tokens_without_expert_share", "gauge",
                "Share of tokens without a live expert.", layer.emptyShare, ["layer": "\(index)"])
        }
    }

    fileprivate mutating func addMember(_ member: Martlet_V1_Member) {
        let labels: KeyValuePairs = ["name": member.name, "role": member.role.label]
        add(
            "martlet_member_up", "gauge", "1 while a member takes part, else 0.",
            member.state.isPresent ? 1 : 0, labels)
        add(
            "martlet_member_last_seen_seconds", "gauge", "Seconds since the last sign of life.",
            member.lastSeenSeconds, labels)
        guard member.role == .worker else { return }
        add(
            "martlet_member_tokens_per_second", "gauge", "Tokens per second of a worker.",
            member.tokensPerSecond, labels)
        add(
            "martlet_member_tokens_total", "counter", "Tokens a worker trained on.",
            Double(member.tokens), labels)
        add(
            "martlet_member_bytes_up_total", "counter", "Bytes a worker sent.",
            Double(member.bytesUp), labels)
        add(
            "martlet_member_bytes_down_total", "counter", "Bytes a worker received.",
            Double(member.bytesDown), labels)
    }
}
