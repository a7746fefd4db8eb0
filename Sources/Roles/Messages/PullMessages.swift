internal import Codec
internal import LocalSGD
internal import NIOCore
internal import Wire

/// How parameters leave a shard server.

/// What is wanted of a module.
enum PullContent: Sendable, Equatable {
    /// The parameters, as all workers have them.
    case parameters
    /// The mean gradient that the last warm-up step applied.
    case gradient
    /// Parameters and, in the warm-up, both moments of AdamW.
    case state
    /// All that a run goes on from: see ``ModuleContents``.
    case checkpoint
    /// What leads there from the version `held`; or the parameters, if that is not here any more.
    case deltas(from: UInt64)
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
        switch content {
        case .parameters: message.content = .parameters
        case .gradient: message.content = .gradient
        case .state: message.content = .state
        case .checkpoint: message.content = .checkpoint
        case .deltas(let held):
            message.content = .deltas
            message.held = held
        }
        return message
    }

    init(_ message: Martlet_V1_PullRequest, bulk: ByteBuffer) throws(WireError) {
        module = try checked(message.module, "module", max: FieldLimits.modulesMax)
        version = try checkedVersion(message.version)
        isExact = message.exactly
        switch message.content {
        case .parameters: content = .parameters
        case .gradient: content = .gradient
        case .state: content = .state
        case .checkpoint: content = .checkpoint
        case .deltas: content = .deltas(from: message.held)
        case .unspecified, .UNRECOGNIZED: throw .field("content", "\(message.content)")
        }
    }
}

/// One version of a module, as it travels.
struct PulledVersion: Sendable, Equatable {
    var version: UInt64
    /// CRC-32C of the parameters that workers have of this version.
    var checksum: UInt32
    /// Arrays in `bytes`; 0 where those are deltas.
    var arrays = 0
    /// Whether the last array is what workers have.
    var isShadowed = false
    /// Bytes of each delta in `bytes`, oldest first.
    var deltaBytes: [Int] = []
    var bytes: ByteBuffer
    /// Comes with what a checkpoint keeps.
    var record: ModuleRecord?

    /// What each version behind `base` has changed, encoded; `nil` if that is not what came.
    func deltas(from base: UInt64) -> [ByteBuffer]? {
        guard arrays == 0, version >= base, version - base == UInt64(deltaBytes.count) else {
            return nil
        }
        var rest = bytes
        return deltaBytes.compactMap { rest.readSlice(length: $0) }
    }
}

enum PullReply: Sendable, Equatable {
    case present(PulledVersion)
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
        case .present(let pulled):
            message.status = .present
            message.version = pulled.version
            message.parametersChecksum = pulled.checksum
            message.arrays = UInt32(pulled.arrays)
            message.shadowed = pulled.isShadowed
            message.deltaBytes = pulled.deltaBytes.map { UInt32($0) }
            message.recordJson = pulled.record?.json ?? ""
        case .notYet:
            message.status = .notYet
        case .gone(let version):
            message.status = .gone
            message.version = version
        }
        return message
    }

    var bulk: ByteBuffer {
        if case .present(let pulled) = self { return pulled.bytes }
        return ByteBuffer()
    }

    init(_ message: Martlet_V1_PullReply, bulk: ByteBuffer) throws(WireError) {
        switch message.status {
        case .present:
            self = .present(
                PulledVersion(
                    version: try checkedVersion(message.version),
                    checksum: message.parametersChecksum,
                    arrays: try checked(message.arrays, "arrays", max: PullReply.arraysMax),
                    isShadowed: message.shadowed,
                    deltaBytes: try PullReply.deltaBytes(message, bulk), bytes: bulk,
                    record: try ModuleRecord.read(json: message.recordJson)))
        case .notYet: self = .notYet
        case .gone: self = .gone(version: try checkedVersion(message.version))
        default: throw .field("status", "\(message.status)")
        }
    }

    /// Lengths that are those of the whole bulk, if there are no arrays in it.
    private static func deltaBytes(
        _ message: Martlet_V1_PullReply, _ bulk: ByteBuffer
    ) throws(WireError) -> [Int] {
        let lengths = message.deltaBytes
        guard lengths.count <= RecentDeltas.versionsMax else {
            throw .field("delta_bytes", "\(lengths.count) lengths")
        }
        let sum = lengths.reduce(0) { $0 + Int($1) }
        guard message.arrays > 0 ? lengths.isEmpty : sum == bulk.readableBytes else {
            throw .field("delta_bytes", "\(sum) of \(bulk.readableBytes) bytes")
        }
        return lengths.map { Int($0) }
    }
}
