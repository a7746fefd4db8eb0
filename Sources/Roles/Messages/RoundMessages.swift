package import LocalSGD
package import NIOCore
internal import Tensors
package import Wire

/// What coordinator and workers tell each other about rounds.

/// A worker's question what to do, with what it did last.
struct AskRequest: Sendable, Equatable {
    var incarnation: UInt64
    var report: RoundReport?
}

extension AskRequest: ProtobufValue {
    var message: Martlet_V1_AskRequest {
        var message = Martlet_V1_AskRequest()
        message.incarnation = incarnation
        if let report {
            message.report.round = UInt32(report.round)
            message.report.steps = UInt32(report.steps)
            message.report.tokens = UInt64(report.tokens)
            message.report.lossSum = report.lossSum
            message.report.accepted = UInt32(report.accepted)
            message.report.rejected = UInt32(report.rejected)
            message.report.masks = report.masks.map(\.fields)
        }
        return message
    }

    init(_ message: Martlet_V1_AskRequest, bulk: ByteBuffer) throws(WireError) {
        incarnation = message.incarnation
        guard message.hasReport else { return }
        let fields = message.report
        guard fields.masks.count <= FieldLimits.modulesMax else {
            throw .field("masks", fields.masks.count)
        }
        report = RoundReport(
            round: try checked(fields.round, "round", max: FieldLimits.roundsMax),
            steps: Int(fields.steps),
            tokens: try checked(fields.tokens, "tokens", max: FieldLimits.tokensMax),
            lossSum: fields.lossSum, accepted: Int(fields.accepted),
            rejected: Int(fields.rejected),
            masks: try fields.masks.map { tally throws(WireError) in try MaskTally(fields: tally) })
    }
}

extension MaskTally {
    fileprivate var fields: Martlet_V1_MaskTally {
        var fields = Martlet_V1_MaskTally()
        fields.tokens = UInt64(tokens)
        fields.live = UInt64(live)
        fields.empty = UInt64(empty)
        return fields
    }

    fileprivate init(fields: Martlet_V1_MaskTally) throws(WireError) {
        self.init()
        tokens = try checked(fields.tokens, "tokens", max: FieldLimits.roundCountMax)
        live = try checked(fields.live, "live", max: FieldLimits.roundCountMax)
        empty = try checked(fields.empty, "empty", max: UInt64(tokens))
    }
}

extension Assignment: ProtobufValue {
    package var message: Martlet_V1_Assignment {
        var message = Martlet_V1_Assignment()
        switch self {
        case .round(let plan): message.round = plan.fields
        case .evaluate(let version, let sequences, let savesState):
            message.evaluate.version = version
            message.evaluate.sequences = Martlet_V1_SequenceRun(sequences)
            message.evaluate.savesState = savesState
        case .wait: message.wait = .init()
        case .rejoin: message.rejoin = .init()
        case .leave(let reason): message.leave.reason = reason
        }
        return message
    }

    package init(_ message: Martlet_V1_Assignment, bulk: ByteBuffer) throws(WireError) {
        switch message.kind {
        case .round(let fields): self = .round(try RoundPlan(fields: fields))
        case .evaluate(let fields):
            self = .evaluate(
                version: try checkedVersion(fields.version),
                sequences: try fields.sequences.indices("sequences"),
                savesState: fields.savesState)
        case .wait: self = .wait
        case .rejoin: self = .rejoin
        case .leave(let fields): self = .leave(reason: checkedReason(fields.reason))
        case nil: throw .field("kind", "empty")
        }
    }
}

extension RoundPlan {
    fileprivate var fields: Martlet_V1_RoundPlan {
        var fields = Martlet_V1_RoundPlan()
        fields.round = UInt32(round)
        fields.kind = kind.field
        fields.baseVersion = baseVersion
        fields.steps = UInt32(steps)
        fields.scheduleStep = UInt64(scheduleStep)
        fields.lease = lease.fields
        if let evaluation { fields.evaluation = Martlet_V1_SequenceRun(evaluation) }
        fields.savesState = savesState
        fields.syncNanoseconds = syncTime?.nanoseconds ?? 0
        fields.free = isFree
        fields.maskCoefficient = maskCoefficient
        return fields
    }

    fileprivate init(fields: Martlet_V1_RoundPlan) throws(WireError) {
        self.init(
            round: try checked(fields.round, "round", max: FieldLimits.roundsMax),
            kind: try RoundKind(field: fields.kind),
            baseVersion: try checkedVersion(fields.baseVersion, "base_version"),
            steps: try checked(UInt64(fields.steps), "steps", max: FieldLimits.stepsMax),
            scheduleStep: try checked(
                fields.scheduleStep, "schedule_step", max: FieldLimits.stepsMax),
            lease: try Lease(fields: fields.lease, "lease"),
            evaluation: fields.hasEvaluation ? try fields.evaluation.indices("evaluation") : nil,
            savesState: fields.savesState,
            syncTime: fields.syncNanoseconds == 0
                ? nil : try Duration(checking: fields.syncNanoseconds, "sync_nanoseconds"),
            isFree: fields.free,
            maskCoefficient: try checked(fields.maskCoefficient, "mask_coefficient"))
    }
}

/// What a worker of a round by time asks when its lease or its time is used up.
struct AllowanceRequest: Sendable, Equatable {
    var incarnation: UInt64
    var round: Int
    /// Inner steps done.
    var steps: Int
    /// Whether its time is up; otherwise its lease is.
    var isOver: Bool
}

extension AllowanceRequest: ProtobufValue {
    var message: Martlet_V1_AllowanceRequest {
        var message = Martlet_V1_AllowanceRequest()
        message.incarnation = incarnation
        message.round = UInt32(round)
        message.steps = UInt32(clamping: steps)
        message.isOver = isOver
        return message
    }

    init(_ message: Martlet_V1_AllowanceRequest, bulk: ByteBuffer) throws(WireError) {
        incarnation = message.incarnation
        round = try checked(message.round, "round", max: FieldLimits.roundsMax)
        steps = Int(message.steps)
        isOver = message.isOver
    }
}

extension Allowance: ProtobufValue {
    package var message: Martlet_V1_Allowance {
        var message = Martlet_V1_Allowance()
        message.lease = lease.fields
        message.extraNanoseconds = extra.nanoseconds
        return message
    }

    package init(_ message: Martlet_V1_Allowance, bulk: ByteBuffer) throws(WireError) {
        self.init(
            lease: try Lease(fields: message.lease, "lease"),
            extra: try Duration(checking: message.extraNanoseconds, "extra_nanoseconds"))
    }
}

extension Heartbeat: ProtobufValue {
    package var message: Martlet_V1_HeartbeatRequest {
        var message = Martlet_V1_HeartbeatRequest()
        message.incarnation = incarnation
        message.round = UInt32(round)
        message.stepsInRound = UInt32(stepsInRound)
        message.tokens = UInt64(tokens)
        message.tokensPerSecond = tokensPerSecond
        message.trainLoss = trainLoss
        message.bytesUp = UInt64(bytesUp)
        message.bytesDown = UInt64(bytesDown)
        message.throttle = throttle
        message.versions = versions
        return message
    }

    package init(_ message: Martlet_V1_HeartbeatRequest, bulk: ByteBuffer) throws(WireError) {
        guard message.versions.count <= FieldLimits.modulesMax else {
            throw .field("versions", message.versions.count)
        }
        self.init(
            incarnation: message.incarnation,
            round: try checked(message.round, "round", max: FieldLimits.roundsMax),
            stepsInRound: Int(message.stepsInRound),
            tokens: try checked(message.tokens, "tokens", max: FieldLimits.tokensMax),
            tokensPerSecond: try checked(message.tokensPerSecond, "tokens_per_second"),
            trainLoss: message.trainLoss,
            bytesUp: try checked(message.bytesUp, "bytes_up", max: FieldLimits.tokensMax),
            bytesDown: try checked(message.bytesDown, "bytes_down", max: FieldLimits.tokensMax),
            throttle: try checked(message.throttle, "throttle"), versions: message.versions)
    }
}

struct HeartbeatReply: Sendable, Equatable {
    /// Whether the coordinator counts the sender as a member.
    var isMember: Bool
    /// Why the sender is to leave at once, if it is to.
    var leaveReason: String?
}

extension HeartbeatReply: ProtobufValue {
    var message: Martlet_V1_HeartbeatReply {
        var message = Martlet_V1_HeartbeatReply()
        message.isMember = isMember
        message.leaveReason = leaveReason ?? ""
        return message
    }

    init(_ message: Martlet_V1_HeartbeatReply, bulk: ByteBuffer) throws(WireError) {
        isMember = message.isMember
        if !message.leaveReason.isEmpty { leaveReason = checkedReason(message.leaveReason) }
    }
}

extension EvaluationReport: ProtobufValue {
    package var message: Martlet_V1_EvaluationReport {
        var message = Martlet_V1_EvaluationReport()
        message.version = version
        message.sequences = Martlet_V1_SequenceRun(sequences)
        message.lossSum = lossSum
        message.tokens = UInt64(tokens)
        return message
    }

    package init(_ message: Martlet_V1_EvaluationReport, bulk: ByteBuffer) throws(WireError) {
        self.init(
            version: try checkedVersion(message.version),
            sequences: try message.sequences.indices("sequences"),
            lossSum: message.lossSum,
            tokens: try checked(message.tokens, "tokens", max: FieldLimits.tokensMax))
    }
}

struct DrainRequest: Sendable, Equatable {
    var reason: String
}

extension DrainRequest: ProtobufValue {
    var message: Martlet_V1_DrainRequest {
        var message = Martlet_V1_DrainRequest()
        message.reason = reason
        return message
    }

    init(_ message: Martlet_V1_DrainRequest, bulk: ByteBuffer) throws(WireError) {
        reason = checkedReason(message.reason)
    }
}
