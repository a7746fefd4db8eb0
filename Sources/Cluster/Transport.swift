package import Wire

/// How frames travel between nodes. Two transports exist: TCP with TLS for real clusters, and one
/// in memory, under virtual time, for simulation.

/// Calls and bulk travel apart, so that a heartbeat is never stuck behind a tensor.
package enum Lane: UInt8, Sendable, CaseIterable {
    case control = 0
    case bulk = 1
}

/// What a transport tells the system it serves.
package enum TransportEvent: Sendable {
    /// `peer` proved who it is and both lanes to it are open. `incarnation` differs between two
    /// lives of a process with the same name and grows from one to the next.
    case connected(peer: NodeID, incarnation: UInt64)
    /// No lane to `peer` is left; frames under way may or may not have arrived.
    case lost(peer: NodeID, reason: String)
    /// A checked frame from an authenticated peer.
    case frame(Frame, from: NodeID)
}

/// Moves frames between authenticated nodes.
package protocol Transport: Sendable {
    /// This process.
    var local: NodeID { get }

    /// Serves connections until cancelled, reporting through `deliver`, which must not block.
    ///
    /// Events of one peer come in order; events of different peers may come at the same time.
    func run(deliver: @escaping @Sendable (TransportEvent) -> Void) async throws

    /// Connects both lanes to the node at `address`, which must prove to have role `role`.
    ///
    /// Returns when the peer has accepted this node. Throws a ``ClusterError`` that says what was
    /// refused and by whom. A node that is connected already is returned as it is.
    func connect(to address: Address, role: Role) async throws -> NodeID

    /// Hands `frame` over for sending, without waiting; order is kept per lane.
    ///
    /// Throws ``ClusterError`` when the peer is not connected or too much waits for it already.
    func send(_ frame: Frame, to peer: NodeID, lane: Lane) throws(ClusterError)

    /// Closes all connections to `peer`, after what was handed over for it is sent.
    func disconnect(_ peer: NodeID)
}
