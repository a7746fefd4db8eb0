internal import Codec
package import LocalSGD
package import NIOCore
internal import Tensors
package import Wire

/// How updates reach a shard server and parameters leave it.

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
            kind: try RoundKind(field: message.kind), baseVersion: message.baseVersion,
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

/// What is wanted of a module.
enum PullContent: Sendable, Equatable, CaseIterable {
    /// The parameters.
    case parameters
    /// The mean gradient that the last warm-up step applied.
    case gradient
    /// Parameters and, in the warm-up, both moments of AdamW.
    case state
    /// All that a run goes on from: see ``ModuleContents``.
    case checkpoint

    fileprivate var field: Martlet_V1_PullContent {
        switch self {
        case .parameters: .parameters
        case .gradient: .gradient
        case .state: .state
        case .checkpoint: .checkpoint
        }
    }
}

struct PullRequest: Sendable, Equatable {
    var module: Int
    var version: UInt64
    /// This very version; otherwise any later one will do.
    var isExact: Bool
    var content: PullContent
}

extension PullRequest: ProtobufValue {
    var message: Martlet_V1_PullRequest {
        var message = Martlet_V1_PullRequest()
        message.module = UInt32(module)
        message.version = version
        message.exactly = isExact
        message.content = content.field
        return message
    }

    init(_ message: Martlet_V1_PullRequest, bulk: ByteBuffer) throws(WireError) {
        module = try checked(message.module, "module", max: FieldLimits.modulesMax)
        version = message.version
        isExact = message.exactly
        guard let content = PullContent.allCases.first(where: { $0.field == message.content })
        else { throw .field("content", "\(message.content)") }
        self.content = content
    }
}

enum PullReply: Sendable, Equatable {
    /// The arrays asked for and the checksum of the parameters at this version.
    ///
    /// `record` comes with what a checkpoint keeps.
    case present(
        version: UInt64, arrays: Int, checksum: UInt32, bytes: ByteBuffer, record: ModuleRecord?)
    /// The version is not there yet; ask again.
    case notYet
    /// The version is not there any more; `version` is.
    case gone(version: UInt64)
}

extension PullReply: ProtobufValue {
    /// Arrays of one reply, at most.
    static let arraysMax: UInt32 = 4

    var message: Martlet_V1_PullReply {
        var message = Martlet_V1_PullReply()
        switch self {
        case .present(let version, let arrays, let checksum, _, let record):
            message.recordJson = record?.json ?? ""
            message.status = .present
            message.version = version
            message.arrays = UInt32(arrays)
            message.parametersChecksum = checksum
        case .notYet:
            message.status = .notYet
        case .gone(let version):
            message.status = .gone
            message.version = version
        }
        return message
    }

    var bulk: ByteBuffer {
        if case .present(_, _, _, let bytes, _) = self { return bytes }
        return ByteBuffer()
    }

    init(_ message: Martlet_V1_PullReply, bulk: ByteBuffer) throws(WireError) {
        switch message.status {
        case .present:
            self = .present(
                version: message.version,
                arrays: try checked(message.arrays, "arrays", max: PullReply.arraysMax),
                checksum: message.parametersChecksum, bytes: bulk,
                record: try ModuleRecord.read(json: message.recordJson))
        case .notYet: self = .notYet
        case .gone: self = .gone(version: message.version)
        default: throw .field("status", "\(message.status)")
        }
    }
}
