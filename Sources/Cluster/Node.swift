/// Who takes part in a cluster.

/// What a process does in the cluster.
///
/// The role stands in its certificate and decides what it may call; it is never taken from a
/// message.
package enum Role: String, Sendable, CaseIterable, Comparable {
    case coordinator
    case shard
    case worker
    /// A person's tool: may look at the run and steer it, holds no part of it.
    case `operator`

    package static func < (left: Role, right: Role) -> Bool { left.rawValue < right.rawValue }
}

/// One process of a cluster: its role and the name that its certificate carries.
package struct NodeID: Hashable, Comparable, Sendable, CustomStringConvertible {
    package let role: Role
    package let name: String

    package init(role: Role, name: String) {
        self.role = role
        self.name = name
    }

    package var description: String { "\(role.rawValue)/\(name)" }

    package static func < (left: NodeID, right: NodeID) -> Bool {
        left.role == right.role ? left.name < right.name : left.role < right.role
    }
}

/// Where a node listens.
package struct Address: Hashable, Sendable, CustomStringConvertible {
    package let host: String
    package let port: Int

    package init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    package var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}
