package import Wire

/// Limits and times of a ``TCPTransport``.
///
/// The defaults suit clusters on loopback and across continents alike; tests make them shorter.
package struct TCPConfiguration: Sendable {
    /// Bytes of frames on the bulk lane, at most.
    package var bulkLimits = FrameLimits()
    /// Bytes of frames on the control lane, at most: bulk belongs on the other one.
    package var controlLimits = FrameLimits(bulkBytesMax: 4 << 20)
    /// Bytes waiting to be sent to one peer on one lane, at most; one frame may always wait.
    package var queuedBytesMax = 1 << 30
    /// Frames waiting to be sent to one peer on one lane, at most.
    package var queuedFramesMax = 16_384
    /// Connections of this process, in both directions, at most.
    package var connectionsMax = 1024
    /// Accepted connections that have not proved who they are yet, at most.
    package var handshakesMax = 64
    /// Until the other side's TCP answers.
    package var connectTimeout: Duration = .seconds(5)
    /// From there until both sides know each other.
    package var handshakeTimeout: Duration = .seconds(10)
    /// Between pings on the control lane.
    package var pingInterval: Duration = .seconds(5)
    /// Silence after which a peer counts as lost; pings are answered, so none is healthy and
    /// silent.
    package var idleTimeout: Duration = .seconds(15)
    /// From the decision to close until the connection is cut, delivered or not.
    package var closeTimeout: Duration = .seconds(5)
    /// Memory kept for received bulk, for all peers together, in bytes.
    package var pooledBytesMax = BulkPool.heldBytesMax

    package init() {}

    /// Before a peer is welcome it may send one small hello, and an answer to ours.
    static let handshakeLimits = FrameLimits(messageBytesMax: 4096, bulkBytesMax: 0)

    func limits(_ lane: Lane) -> FrameLimits {
        switch lane {
        case .control: controlLimits
        case .bulk: bulkLimits
        }
    }
}

extension Lane: CustomStringConvertible {
    /// What the lane is called in TLS (ALPN).
    var applicationProtocol: String { "martlet-\(self)/1" }

    package var description: String {
        switch self {
        case .control: "control"
        case .bulk: "bulk"
        }
    }
}
