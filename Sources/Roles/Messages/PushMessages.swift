internal import Codec
package import LocalSGD
package import NIOCore
package import Wire

/// How updates reach a shard server.

/// One push: what the worker says about its update, and the update.
struct Push: Sendable, Equatable {
    var contribution: Contribution
    /// The encoded update.
    var payload: ByteBuffer
}

extension Push: ProtobufValue {
    var message: Martlet_V1_Contribution {
        var message = Martlet_V1_Contribution()
        message.worker = contribution.key.worker
        message.incarnation = contribution.key.incarnation
        message.module = UInt32(contribution.key.module)
        message.sequence = contribution.key.sequence
        message.round = UInt32(contribution.round)
        message.kind = contribution.kind.field
        message.baseVersion = contribution.baseVersion
        message.steps = UInt32(contribution.steps)
        message.tokens = UInt64(contribution.tokens)
        message.norm = contribution.norm
        message.codec = contribution.codec
        message.verdict = contribution.verdict.field
        message.expertTokens = contribution.expertTokens.map { UInt64($0) }
        return message
    }

    var bulk: ByteBuffer { payload }

    init(_ message: Martlet_V1_Contribution, bulk: ByteBuffer) throws(WireError) {
        guard message.expertTokens.count <= FieldLimits.expertsMax else {
            throw .field("expert_tokens", message.expertTokens.count)
        }
        var expertTokens: [Int] = []
        for tokens in message.expertTokens {
            expertTokens.append(
                try checked(tokens, "expert_tokens", max: FieldLimits.tokensMax))
        }
        contribution = Contribution(
            key: PushKey(
                worker: try checkedName(message.worker, "worker"),
                incarnation: message.incarnation,
                module: try checked(message.module, "module", max: FieldLimits.modulesMax),
                sequence: message.sequence),
            round: try checked(message.round, "round", max: FieldLimits.roundsMax),
            kind: try RoundKind(field: message.kind),
            baseVersion: try checkedVersion(message.baseVersion, "base_version"),
            steps: Int(message.steps),
            tokens: try checked(message.tokens, "tokens", max: FieldLimits.tokensMax),
            norm: message.norm, codec: message.codec, verdict: try Verdict(field: message.verdict),
            expertTokens: expertTokens)
        payload = bulk
    }
}

extension PushOutcome: ProtobufValue {
    package var message: Martlet_V1_PushReply {
        var message = Martlet_V1_PushReply()
        switch self {
        case .accepted: message.accepted = .init()
        case .late(let current): message.late.current = UInt32(current)
        case .stale(let by): message.stale.by = UInt32(by)
        case .early: message.early = .init()
        case .notMember: message.notMember = .init()
        case .refused(let reason): message.refused.reason = reason
        }
        return message
    }

    package init(_ message: Martlet_V1_PushReply, bulk: ByteBuffer) throws(WireError) {
        switch message.outcome {
        case .accepted: self = .accepted
        case .late(let late): self = .late(current: Int(late.current))
        case .stale(let stale): self = .stale(by: Int(stale.by))
        case .early: self = .early
        case .notMember: self = .notMember
        case .refused(let refused): self = .refused(checkedReason(refused.reason))
        case nil: throw .field("outcome", "empty")
        }
    }
}
