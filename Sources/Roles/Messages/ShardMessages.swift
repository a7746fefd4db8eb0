internal import Codec
package import LocalSGD
package import NIOCore
internal import Tensors
package import Wire

/// What a shard server hears and says.

/// A module, given to the server that is to hold it.
struct ModuleInstall: Sendable {
    var module: Int
    var version: UInt64
    var contents: ModuleContents
    var parts: PartLayout
}

extension ModuleInstall: ProtobufValue {
    var message: Martlet_V1_ModuleInstall {
        var message = Martlet_V1_ModuleInstall()
        message.module = UInt32(module)
        message.version = version
        message.count = UInt64(contents.parameters.count)
        message.arrays = UInt32(contents.arrays.count)
        message.recordJson = contents.record?.json ?? ""
        message.shadowed = contents.shadow != nil
        for piece in parts.pieces {
            message.pieceEnds.append(UInt64(piece.range.upperBound))
            message.pieceExperts.append(piece.part.number)
        }
        return message
    }

    var bulk: ByteBuffer { RawCodec.bytes(of: contents.arrays) }

    init(_ message: Martlet_V1_ModuleInstall, bulk: ByteBuffer) throws(WireError) {
        module = try checked(message.module, "module", max: FieldLimits.modulesMax)
        version = try checkedVersion(message.version)
        let number = try checked(message.arrays, "arrays", max: PullReply.arraysMax)
        let arrays = try WireArrays.decode(number, of: message.count, from: bulk)
        guard let contents = ModuleContents(arrays: arrays, isShadowed: message.shadowed)
        else { throw .field("arrays", number) }
        self.contents = contents
        self.contents.record = try ModuleRecord.read(json: message.recordJson)
        parts = try PartLayout(
            ends: message.pieceEnds, experts: message.pieceExperts, count: message.count)
    }
}

extension PartLayout {
    /// The layout whose pieces end where `ends` says and are the parts with the numbers `experts`.
    fileprivate init(ends: [UInt64], experts: [UInt32], count: UInt64) throws(WireError) {
        guard ends.count == experts.count, ends.last == count else {
            throw .field("piece_ends", "\(ends.count) pieces")
        }
        var pieces: [Piece] = []
        var start = 0
        for (end, expert) in zip(ends, experts) {
            let end = try checked(end, "piece_ends", max: count)
            guard end >= start else { throw .field("piece_ends", end) }
            pieces.append(Piece(part: try ModulePart(number: expert), range: start..<end))
            start = end
        }
        guard let layout = PartLayout(pieces: pieces) else { throw .field("piece_ends", start) }
        self = layout
    }
}

extension ModulePart {
    private static let routerNumber = UInt32.max
    private static let masksNumber = UInt32.max - 1

    /// 0 for dense, one more than the expert's index, or the highest numbers for the router and
    /// the mask router.
    fileprivate var number: UInt32 {
        switch self {
        case .dense: 0
        case .router: Self.routerNumber
        case .masks: Self.masksNumber
        case .expert(let index): UInt32(index) + 1
        }
    }

    fileprivate init(number: UInt32) throws(WireError) {
        switch number {
        case 0: self = .dense
        case Self.routerNumber: self = .router
        case Self.masksNumber: self = .masks
        default:
            let number = try checked(
                number, "piece_experts", max: UInt32(FieldLimits.expertsMax))
            self = .expert(number - 1)
        }
    }
}

extension RoundOpening: ProtobufValue {
    package var message: Martlet_V1_RoundOpening {
        var message = Martlet_V1_RoundOpening()
        message.round = UInt32(round)
        message.kind = kind.field
        message.members = members.map { member in
            var field = Martlet_V1_RoundMember()
            field.worker = member.worker
            field.incarnation = member.incarnation
            field.observing = member.isObserving
            return field
        }
        message.scheduleStep = UInt64(scheduleStep)
        message.retainsBase = retainsBase
        message.free = isFree
        return message
    }

    package init(_ message: Martlet_V1_RoundOpening, bulk: ByteBuffer) throws(WireError) {
        guard message.members.count <= FieldLimits.workersMax else {
            throw .field("members", message.members.count)
        }
        var members: [RoundMember] = []
        for member in message.members {
            members.append(
                RoundMember(
                    worker: try checkedName(member.worker, "members.worker"),
                    incarnation: member.incarnation, isObserving: member.observing))
        }
        self.init(
            round: try checked(message.round, "round", max: FieldLimits.roundsMax),
            kind: try RoundKind(field: message.kind), members: members,
            scheduleStep: try checked(
                message.scheduleStep, "schedule_step", max: FieldLimits.stepsMax),
            retainsBase: message.retainsBase, isFree: message.free)
    }
}

extension RoundClosing: ProtobufValue {
    package var message: Martlet_V1_RoundClosing {
        var message = Martlet_V1_RoundClosing()
        message.round = UInt32(round)
        message.applied = applied.mapValues { UInt32($0) }
        message.turnedDown = turnedDown.sorted()
        message.steps = steps.mapValues { UInt32(clamping: $0) }
        return message
    }

    package init(_ message: Martlet_V1_RoundClosing, bulk: ByteBuffer) throws(WireError) {
        guard message.applied.count <= FieldLimits.workersMax,
            message.turnedDown.count <= FieldLimits.workersMax,
            message.steps.count <= FieldLimits.workersMax
        else { throw .field("applied", message.applied.count) }
        self.init(
            round: try checked(message.round, "round", max: FieldLimits.roundsMax),
            applied: message.applied.mapValues { Int($0) },
            turnedDown: Set(message.turnedDown), steps: message.steps.mapValues { Int($0) })
    }
}

/// A worker that will not push any more in a round.
struct Removal: Sendable, Equatable {
    var worker: String
    var incarnation: UInt64
    /// The opening that it is removed from; it may be a member of the next again.
    var round: Int
}

extension Removal: ProtobufValue {
    var message: Martlet_V1_Removal {
        var message = Martlet_V1_Removal()
        message.worker = worker
        message.incarnation = incarnation
        message.round = UInt32(round)
        return message
    }

    init(_ message: Martlet_V1_Removal, bulk: ByteBuffer) throws(WireError) {
        worker = try checkedName(message.worker, "worker")
        incarnation = message.incarnation
        round = try checked(message.round, "round", max: FieldLimits.roundsMax)
    }
}

struct StopRequest: Sendable, Equatable {
    var reason: String
}

extension StopRequest: ProtobufValue {
    var message: Martlet_V1_StopRequest {
        var message = Martlet_V1_StopRequest()
        message.reason = reason
        return message
    }

    init(_ message: Martlet_V1_StopRequest, bulk: ByteBuffer) throws(WireError) {
        reason = checkedReason(message.reason)
    }
}

/// Arrays in a bulk trailer.
enum WireArrays {
    static func decode(
        _ number: Int, of count: UInt64, from bulk: ByteBuffer
    ) throws(WireError) -> [FloatBuffer] {
        guard count <= UInt64(bulk.readableBytes) else { throw .field("count", count) }
        do {
            return try RawCodec.arrays(number, of: Int(count), from: bulk)
        } catch {
            throw WireError(.malformed, error.message)
        }
    }
}
