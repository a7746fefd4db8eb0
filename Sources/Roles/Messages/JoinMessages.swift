internal import Cluster
internal import LocalSGD
internal import NIOCore
internal import Wire

/// A node's introduction to the coordinator.
///
/// Its role and name come from its certificate.
struct JoinRequest: Sendable, Equatable {
    var incarnation: UInt64
    /// Where a shard server listens; nil for workers.
    var address: Address?
    /// Run and versions of which a worker has kept its optimizer's state.
    var restoredRun = ""
    var restoredVersions: [UInt64] = []
}

/// What a node learns when it is let in.
struct Welcome: Sendable, Equatable {
    var runID: String
    /// Version that the run is at.
    var version: UInt64
    var settings: RunSettings
    /// The model's config.json.
    var model: String
    var shardMap: ShardMap
    /// Addresses of `shardMap.shards`, in that order.
    var addresses: [Address]
}

enum JoinReply: Sendable, Equatable {
    case accepted(Welcome)
    /// Come again in a moment.
    case notYet
    case refused(reason: String)
}

extension JoinRequest: ProtobufValue {
    var message: Martlet_V1_JoinRequest {
        var message = Martlet_V1_JoinRequest()
        message.incarnation = incarnation
        message.host = address?.host ?? ""
        message.port = UInt32(address?.port ?? 0)
        message.restoredRun = restoredRun
        message.restoredVersions = restoredVersions
        return message
    }

    init(_ message: Martlet_V1_JoinRequest, bulk: ByteBuffer) throws(WireError) {
        incarnation = message.incarnation
        if !message.host.isEmpty {
            guard message.host.utf8.count <= 255 else { throw .field("host", "that long") }
            address = Address(
                host: message.host, port: try checked(message.port, "port", max: 65_535))
        }
        restoredRun = message.restoredRun
        restoredVersions = Array(message.restoredVersions.prefix(FieldLimits.runsMax))
    }
}

extension JoinReply: ProtobufValue {
    var message: Martlet_V1_JoinReply {
        var message = Martlet_V1_JoinReply()
        switch self {
        case .accepted(let welcome): message.accepted = welcome.fields
        case .notYet: message.notYet = .init()
        case .refused(let reason): message.refused.reason = reason
        }
        return message
    }

    init(_ message: Martlet_V1_JoinReply, bulk: ByteBuffer) throws(WireError) {
        switch message.answer {
        case .accepted(let fields): self = .accepted(try Welcome(fields: fields))
        case .notYet: self = .notYet
        case .refused(let refused): self = .refused(reason: checkedReason(refused.reason))
        case nil: throw .field("answer", "empty")
        }
    }
}

extension Welcome {
    fileprivate var fields: Martlet_V1_JoinReply.Accepted {
        var fields = Martlet_V1_JoinReply.Accepted()
        fields.runID = runID
        fields.version = version
        fields.settingsJson = settings.json
        fields.modelJson = model
        fields.shards = zip(shardMap.shards, addresses).map { name, address in
            var place = Martlet_V1_JoinReply.ShardPlace()
            place.name = name
            place.host = address.host
            place.port = UInt32(address.port)
            return place
        }
        fields.owners = shardMap.owners.map { UInt32($0) }
        return fields
    }

    fileprivate init(fields: Martlet_V1_JoinReply.Accepted) throws(WireError) {
        runID = fields.runID
        version = try checkedVersion(fields.version)
        settings = try RunSettings(json: fields.settingsJson)
        model = fields.modelJson
        var names: [String] = []
        addresses = []
        for place in fields.shards {
            names.append(try checkedName(place.name, "shards.name"))
            addresses.append(
                Address(host: place.host, port: try checked(place.port, "port", max: 65_535)))
        }
        guard fields.owners.count <= FieldLimits.modulesMax else {
            throw .field("owners", fields.owners.count)
        }
        var owners: [Int] = []
        for owner in fields.owners {
            guard owner < names.count else { throw .field("owners", owner) }
            owners.append(Int(owner))
        }
        shardMap = ShardMap(shards: names, owners: owners)
    }
}
