/// Which connections belong to which peer: the decisions of ``TCPTransport``, without its sockets.
///
///                 first lane                    second lane
///     (no entry) ─────────────> half connected ─────────────> connected
///          ^                        │                             │
///          └── a lane closes, or a newer life of the peer comes ──┘   (.lost if it was connected)
///
/// Both lanes of an entry were opened by the same side. If two nodes dial each other at once, the
/// dial of the smaller ``NodeID`` is kept.
struct PeerTable {
    typealias ConnectionID = UInt64

    enum Event {
        /// A connection that this node opened has proved to lead to `peer`.
        case dialed(NodeID, Lane, ConnectionID)
        /// `peer` accepted such a connection.
        case welcomed(NodeID, incarnation: UInt64, Lane, ConnectionID)
        /// A connection that `peer` opened asks to be let in.
        case hello(NodeID, incarnation: UInt64, Lane, ConnectionID)
        case closed(ConnectionID, reason: String)
        /// A dialed connection closes to be opened again.
        case withdrawn(ConnectionID)
        /// The second lane to the peer could not be dialed.
        case gaveUp(NodeID, reason: String)
        /// This node wants no connection to the peer any more.
        case dropped(NodeID, reason: String)
    }

    enum Action: Equatable {
        /// Goes on with the connection: say hello, or welcome.
        case accept(ConnectionID)
        /// Tells the other side why not, and closes.
        case refuse(ConnectionID, reason: String)
        /// The dialed peer is connected already; this connection isn't needed.
        case surplus(ConnectionID)
        /// Sends what is queued, says goodbye, closes.
        case close(ConnectionID, reason: String)
        case connected(NodeID, incarnation: UInt64, [Lane: ConnectionID])
        case lost(NodeID, reason: String)
    }

    private struct Entry {
        let isOutbound: Bool
        /// Not known until a dialed peer welcomes.
        var incarnation: UInt64?
        var dialing: [Lane: ConnectionID] = [:]
        var lanes: [Lane: ConnectionID] = [:]

        var isConnected: Bool { lanes.count == Lane.allCases.count }

        var connections: [ConnectionID] {
            Lane.allCases.compactMap { lanes[$0] ?? dialing[$0] }
        }
    }

    private let local: NodeID
    private var entries: [NodeID: Entry] = [:]
    private var peers: [ConnectionID: NodeID] = [:]

    init(local: NodeID) { self.local = local }

    func isConnected(_ peer: NodeID) -> Bool { entries[peer]?.isConnected ?? false }

    /// Peers with at least one lane.
    var known: [NodeID] { entries.keys.sorted() }

    mutating func step(_ event: Event) -> [Action] {
        switch event {
        case .dialed(let peer, let lane, let id): dialed(peer, lane, id)
        case .welcomed(let peer, let incarnation, let lane, let id):
            welcomed(peer, incarnation, lane, id)
        case .hello(let peer, let incarnation, let lane, let id): hello(peer, incarnation, lane, id)
        case .closed(let id, let reason): peers[id].map { remove($0, reason, closing: id) } ?? []
        case .withdrawn(let id): withdrawn(id)
        case .gaveUp(let peer, let reason): gaveUp(peer, reason)
        case .dropped(let peer, let reason): remove(peer, reason)
        }
    }

    private mutating func dialed(_ peer: NodeID, _ lane: Lane, _ id: ConnectionID) -> [Action] {
        guard peer != local else {
            return [.refuse(id, reason: "this is \(local) itself, or another process of its name")]
        }
        var entry = entries[peer] ?? Entry(isOutbound: true)
        if entry.isConnected { return [.surplus(id)] }
        guard entry.isOutbound, entry.dialing[lane] == nil, entry.lanes[lane] == nil else {
            return [.refuse(id, reason: "a connection to \(peer) is being made already")]
        }
        entry.dialing[lane] = id
        entries[peer] = entry
        peers[id] = peer
        return [.accept(id)]
    }

    private mutating func welcomed(
        _ peer: NodeID, _ incarnation: UInt64, _ lane: Lane, _ id: ConnectionID
    ) -> [Action] {
        guard var entry = entries[peer], entry.dialing[lane] == id else {
            return [.close(id, reason: "replaced by another connection")]
        }
        guard entry.incarnation == nil || entry.incarnation == incarnation else {
            return remove(peer, "\(peer) was restarted while it was being connected")
        }
        entry.incarnation = incarnation
        entry.dialing[lane] = nil
        entry.lanes[lane] = id
        entries[peer] = entry
        return connectedIfComplete(peer, entry)
    }

    private mutating func withdrawn(_ id: ConnectionID) -> [Action] {
        guard let peer = peers.removeValue(forKey: id), var entry = entries[peer] else { return [] }
        entry.dialing = entry.dialing.filter { $0.value != id }
        entries[peer] = entry.connections.isEmpty ? nil : entry
        return []
    }

    private mutating func gaveUp(_ peer: NodeID, _ reason: String) -> [Action] {
        guard let entry = entries[peer], entry.isOutbound, !entry.isConnected else { return [] }
        return remove(peer, reason)
    }

    private mutating func hello(
        _ peer: NodeID, _ incarnation: UInt64, _ lane: Lane, _ id: ConnectionID
    ) -> [Action] {
        guard peer != local else {
            return [.refuse(id, reason: "\(local) is this node's own name; names must differ")]
        }
        var actions: [Action] = []
        if let old = entries[peer] {
            if let reason = objection(to: peer, incarnation, lane, old) {
                return [.refuse(id, reason: reason)]
            }
            let isSameLife = !old.isOutbound && old.incarnation == incarnation
            if !isSameLife { actions = remove(peer, "a newer connection of \(peer) replaces it") }
        }
        var entry = entries[peer] ?? Entry(isOutbound: false, incarnation: incarnation)
        entry.lanes[lane] = id
        entries[peer] = entry
        peers[id] = peer
        // Connected before the peer hears of it, so that nothing it then sends comes too early.
        return actions + connectedIfComplete(peer, entry) + [.accept(id)]
    }

    /// Why a peer that has an entry may not open this lane, or nil if it may.
    private func objection(
        to peer: NodeID, _ incarnation: UInt64, _ lane: Lane, _ old: Entry
    ) -> String? {
        if old.isOutbound && !old.isConnected {
            return local < peer ? "\(local) is connecting to \(peer) already" : nil
        }
        guard let known = old.incarnation, incarnation <= known else { return nil }
        if incarnation < known { return "a newer life of \(peer) is connected already" }
        let isMissingLane = !old.isOutbound && old.lanes[lane] == nil
        return isMissingLane ? nil : "\(peer) is connected already"
    }

    private func connectedIfComplete(_ peer: NodeID, _ entry: Entry) -> [Action] {
        guard entry.isConnected, let incarnation = entry.incarnation else { return [] }
        return [.connected(peer, incarnation: incarnation, entry.lanes)]
    }

    private mutating func remove(
        _ peer: NodeID, _ reason: String, closing closed: ConnectionID? = nil
    ) -> [Action] {
        guard let entry = entries.removeValue(forKey: peer) else { return [] }
        for id in entry.connections { peers[id] = nil }
        let others = entry.connections.filter { $0 != closed }
        let closes = others.map { Action.close($0, reason: reason) }
        return entry.isConnected ? closes + [.lost(peer, reason: reason)] : closes
    }
}
