import SwiftProtobuf
package import Wire

/// `RunStatus` as JSON: protobuf's mapping with the names of the schema, whole numbers as numbers,
/// and zeros spelled out.
extension Martlet_V1_RunStatus {
    /// One line without a line feed.
    package var json: String { object.closed }

    /// Reads what `json` or any other protobuf implementation wrote; unknown fields are skipped, so
    /// that an older command can ask a newer run.
    package init(json: String) throws(StatusError) {
        var options = JSONDecodingOptions()
        options.ignoreUnknownFields = true
        do {
            self = try Martlet_V1_RunStatus(jsonString: json, options: options)
        } catch {
            throw StatusError(.answer, "the answer is not a run's status", cause: error)
        }
    }

    private var object: JSONObject {
        var object = JSONObject()
        object.add("id", id)
        object.add("name", name)
        object.add("state", state.label)
        object.add("reason", reason)
        object.add("round", round)
        object.add("rounds_total", roundsTotal)
        object.add("steps", steps)
        object.add("tokens", tokens)
        object.add("lost_tokens", lostTokens)
        object.add("train_loss", hasTrainLoss ? trainLoss : nil)
        object.add("held_out_loss", hasHeldOutLoss ? heldOutLoss : nil)
        object.add("held_out_round", hasHeldOutRound ? heldOutRound : nil)
        object.add("best_held_out_loss", hasBestHeldOutLoss ? bestHeldOutLoss : nil)
        object.add("elapsed_seconds", elapsedSeconds)
        object.add("remaining_seconds", hasRemainingSeconds ? remainingSeconds : nil)
        object.add("tokens_per_second", tokensPerSecond)
        object.add("bytes_up", bytesUp)
        object.add("bytes_down", bytesDown)
        object.add("bytes_up_per_token", hasBytesUpPerToken ? bytesUpPerToken : nil)
        object.add("bytes_down_per_token", hasBytesDownPerToken ? bytesDownPerToken : nil)
        object.add("contributions_applied", contributionsApplied)
        object.add("contributions_late", contributionsLate)
        object.add("contributions_stale", contributionsStale)
        object.add("members", members.map(\.object))
        object.add("modules", modules.map(\.object))
        object.add("checkpoint", hasCheckpoint ? checkpoint.object : nil)
        object.add("history", history.map(\.object))
        object.add("parameters", parameters)
        object.add("active_experts", hasActiveExperts ? activeExperts : nil)
        object.add("empty_share", hasEmptyShare ? emptyShare : nil)
        object.add("mask_coefficient", hasMaskCoefficient ? maskCoefficient : nil)
        object.add("masks", masks.map(\.object))
        return object
    }
}

extension Martlet_V1_MaskShare {
    fileprivate var object: JSONObject {
        var object = JSONObject()
        object.add("active_experts", activeExperts)
        object.add("empty_share", emptyShare)
        return object
    }
}

extension Martlet_V1_Member {
    fileprivate var object: JSONObject {
        var object = JSONObject()
        object.add("name", name)
        object.add("role", role.label)
        object.add("state", state.label)
        object.add("incarnation", incarnation)
        object.add("address", address)
        object.add("tokens_per_second", tokensPerSecond)
        object.add("tokens", tokens)
        object.add("bytes_up", bytesUp)
        object.add("bytes_down", bytesDown)
        object.add("last_seen_seconds", lastSeenSeconds)
        object.add("round", round)
        object.add("steps_in_round", stepsInRound)
        object.add("throttle", throttle)
        object.add("train_loss", hasTrainLoss ? trainLoss : nil)
        return object
    }
}

extension Martlet_V1_Module {
    fileprivate var object: JSONObject {
        var object = JSONObject()
        object.add("name", name)
        object.add("version", version)
        object.add("shard", shard)
        object.add("parameters", parameters)
        return object
    }
}

extension Martlet_V1_Checkpoint {
    fileprivate var object: JSONObject {
        var object = JSONObject()
        object.add("path", path)
        object.add("round", round)
        return object
    }
}

extension Martlet_V1_LossPoint {
    fileprivate var object: JSONObject {
        var object = JSONObject()
        object.add("round", round)
        object.add("tokens", tokens)
        object.add("seconds", seconds)
        object.add("train_loss", hasTrainLoss ? trainLoss : nil)
        object.add("held_out_loss", hasHeldOutLoss ? heldOutLoss : nil)
        object.add("active_experts", hasActiveExperts ? activeExperts : nil)
        return object
    }
}

/// The answer to a command, and the body of every error.
struct CommandReply {
    var error = ""
    var message = ""

    var json: String {
        var object = JSONObject()
        object.add("error", error)
        object.add("message", message)
        return object.closed
    }

    init(error: String = "", message: String = "") {
        self.error = error
        self.message = message
    }

    init(json: String) throws(StatusError) {
        do {
            let reply = try Martlet_V1_CommandReply(jsonString: json)
            self.init(error: reply.error, message: reply.message)
        } catch {
            throw StatusError(.answer, "the answer is not a run's", cause: error)
        }
    }
}
