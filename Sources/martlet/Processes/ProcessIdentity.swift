import Cluster
import FoundationEssentials

/// Who a process is, from the file it was given and the time at which it starts.
enum ProcessIdentity {
    /// Loads an identity that must be for `role`.
    static func load(_ path: String, role: Role) throws -> Identity {
        let identity = try Identity.load(path, at: Date())
        guard identity.node.role == role else {
            throw ClusterError(
                .identity, "\(path) is for \(identity.node), and a \(role.rawValue) is wanted")
        }
        return identity
    }

    /// A number that is larger for every later life of a process with the same name.
    static func incarnation() -> UInt64 {
        UInt64(max(Date().timeIntervalSince1970 * 1000, 1))
    }
}
