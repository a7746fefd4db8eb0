package import Logging
internal import NIOCore
internal import NIOPosix
internal import Synchronization
package import Wire

/// Frames over TCP with TLS 1.3, both sides proved by certificates of the cluster's authority.
///
/// Two connections lead to each peer, one per ``Lane``, on two event loops, so that pings and calls
/// are never stuck behind tensors. Which of them belong together, and which may stay, is decided by
/// the ``PeerTable``; what is said on each, by its ``LaneHandler``.
package final class TCPTransport: Transport {
    private struct State {
        var table: PeerTable
        var connections: [UInt64: Connection] = [:]
        var nextID: UInt64 = 1
        /// Connected and lost, before ``run(deliver:)`` takes them.
        var early: [TransportEvent] = []
        var deliver: (@Sendable (TransportEvent) -> Void)?
        /// Accepted connections whose handshake is not over.
        var handshakes = 0
        var isClosed = false
    }

    package let local: NodeID
    /// Where this node listens; nil if it only dials.
    package let boundAddress: Address?

    let identity: Identity
    let incarnation: UInt64
    let configuration: TCPConfiguration
    let logger: Logger
    let tls: TLS
    let pool: BulkPool
    private let loops: MultiThreadedEventLoopGroup
    /// By ``Lane``.
    private let laneLoops: [any EventLoop]
    private let listener: (any Channel)?
    /// Held while `connected` and `lost` are delivered, which keeps them in order.
    private let state: Mutex<State>
    let dialing = Dialing()
    /// For senders, who must not wait for the state.
    private let links = Mutex<[NodeID: PeerLink]>([:])

    /// Starts two event loops and, unless `listen` is nil, listens there; port 0 takes a free one.
    ///
    /// Nothing is accepted before ``run(deliver:)``. Throws ``ClusterError/Code/address`` if the
    /// address can't be listened on.
    package static func bind(
        identity: Identity, listen: Address?, incarnation: UInt64, logger: Logger,
        configuration: TCPConfiguration = TCPConfiguration()
    ) async throws(ClusterError) -> TCPTransport {
        let tls = try TLS(identity)
        let loops = MultiThreadedEventLoopGroup(numberOfThreads: Lane.allCases.count)
        let acceptor = Acceptor()
        var listener: (any Channel)?
        if let listen {
            do {
                listener = try await acceptor.bind(listen, loops, configuration)
            } catch {
                try? await loops.shutdownGracefully()
                throw ClusterError(
                    .address, "can't listen on \(listen); choose another address", cause: error)
            }
        }
        let transport = TCPTransport(
            identity, listen, incarnation, logger, configuration, tls, loops, listener)
        acceptor.transport.withLock { $0 = transport }
        return transport
    }

    private init(
        _ identity: Identity, _ listen: Address?, _ incarnation: UInt64, _ logger: Logger,
        _ configuration: TCPConfiguration, _ tls: TLS, _ loops: MultiThreadedEventLoopGroup,
        _ listener: (any Channel)?
    ) {
        local = identity.node
        boundAddress = listen.map {
            Address(host: $0.host, port: listener?.localAddress?.port ?? $0.port)
        }
        self.identity = identity
        self.incarnation = incarnation
        self.configuration = configuration
        self.logger = logger
        self.tls = tls
        pool = BulkPool(heldBytesMax: configuration.pooledBytesMax)
        self.loops = loops
        laneLoops = Array(loops.makeIterator())
        self.listener = listener
        state = Mutex(State(table: PeerTable(local: identity.node)))
    }

    // MARK: Transport

    package func run(deliver: @escaping @Sendable (TransportEvent) -> Void) async throws {
        let links = state.withLock { state -> [PeerLink] in
            precondition(state.deliver == nil, "a transport runs once")
            state.deliver = deliver
            for event in state.early { deliver(event) }
            state.early = []
            return self.links.withLock { Array($0.values) }
        }
        for link in links {
            link.open(deliver)
            for lane in Lane.allCases { link[lane].command(.open(link)) }
        }
        try await listener?.setOption(.autoRead, value: true).get()
        let (never, continuation) = AsyncStream<Never>.makeStream()
        for await _ in never {}
        _ = continuation
        await close()
    }

    /// Says goodbye to all peers and stops the event loops.
    ///
    /// ``run(deliver:)`` does this at its end; a transport that never ran must be closed by whoever
    /// bound it.
    package func close() async {
        let isFirst = state.withLock { state in
            defer { state.isClosed = true }
            return !state.isClosed
        }
        guard isFirst else { return }
        try? await listener?.close().get()
        for peer in state.withLock({ $0.table.known }) {
            step(.dropped(peer, reason: "\(local) is stopping"))
        }
        let connections = state.withLock { Array($0.connections.values) }
        for connection in connections { connection.command(.close(reason: "\(local) is stopping")) }
        for connection in connections { try? await connection.channel.closeFuture.get() }
        try? await loops.shutdownGracefully()
    }

    package func send(_ frame: Frame, to peer: NodeID, lane: Lane) throws(ClusterError) {
        guard let link = links.withLock({ $0[peer] }) else {
            throw ClusterError(.connectionLost, "\(local) is not connected to \(peer)")
        }
        try link[lane].send(frame, lane: lane)
    }

    /// Returns at once; from here on the peer counts as lost.
    package func disconnect(_ peer: NodeID) {
        // On a loop, because the caller may be inside of `deliver`.
        loop(.control).execute {
            self.step(.dropped(peer, reason: "disconnected by \(self.local)"))
        }
    }

    /// How long pings to a connected peer took.
    package func roundTrips(to peer: NodeID) -> RoundTrips? {
        links.withLock { $0[peer] }?[.control].measuredRoundTrips
    }

    /// Connections that were dialed or accepted here, those that are closed included.
    package var connectionsMade: Int { state.withLock { Int($0.nextID) - 1 } }

    /// Whether both lanes to `peer` are open.
    func isConnected(_ peer: NodeID) -> Bool { state.withLock { $0.table.isConnected(peer) } }

    // MARK: Connections

    /// The loop on which the connections of a lane belong.
    func loop(_ lane: Lane) -> any EventLoop { laneLoops[Int(lane.rawValue)] }

    /// Counts a new connection in, or gives nil if there are too many.
    func admit(_ channel: any Channel, isAccepted: Bool) -> Connection? {
        state.withLock { state in
            guard !state.isClosed, state.connections.count < configuration.connectionsMax,
                !isAccepted || state.handshakes < configuration.handshakesMax
            else { return nil }
            if isAccepted { state.handshakes += 1 }
            defer { state.nextID += 1 }
            let connection = Connection(
                id: state.nextID, channel: channel, configuration: configuration)
            state.connections[connection.id] = connection
            return connection
        }
    }

    /// The handshake of an accepted connection is over, one way or the other.
    func handshakeEnded() { state.withLock { $0.handshakes -= 1 } }

    /// Forgets a connection that the table does not know any more.
    func unregister(_ id: UInt64) { state.withLock { _ = $0.connections.removeValue(forKey: id) } }

    /// Lets the table decide and does what it says: events in order under the lock, commands to
    /// connections after it, since they may come back here.
    func step(_ event: PeerTable.Event) {
        var commands: [(Connection?, Connection.Command)] = []
        state.withLock { state in
            for action in state.table.step(event) {
                switch action {
                case .accept(let id): commands.append((state.connections[id], .accept))
                case .surplus(let id): commands.append((state.connections[id], .surplus))
                case .refuse(let id, let reason):
                    commands.append((state.connections[id], .refuse(reason: reason)))
                case .close(let id, let reason):
                    commands.append((state.connections[id], .close(reason: reason)))
                case .connected(let peer, let incarnation, let lanes):
                    let link = connected(peer, incarnation, lanes, &state)
                    guard let deliver = state.deliver else { continue }
                    link.open(deliver)
                    commands += Lane.allCases.map { (link[$0], .open(link)) }
                case .lost(let peer, let reason):
                    links.withLock { $0.removeValue(forKey: peer) }?.cut()
                    logger.info("lost \(peer): \(reason)")
                    report(.lost(peer: peer, reason: reason), &state)
                }
            }
        }
        for (connection, command) in commands { connection?.command(command) }
    }

    private func connected(
        _ peer: NodeID, _ incarnation: UInt64, _ lanes: [Lane: UInt64], _ state: inout State
    ) -> PeerLink {
        // A connection leaves the table before it is unregistered.
        let connections = lanes.compactMapValues { state.connections[$0] }
        let link = PeerLink(peer: peer, lanes: connections)
        links.withLock { $0[peer] = link }
        logger.info("connected to \(peer), incarnation \(incarnation)")
        report(.connected(peer: peer, incarnation: incarnation), &state)
        return link
    }

    private func report(_ event: TransportEvent, _ state: inout State) {
        if let deliver = state.deliver { deliver(event) } else { state.early.append(event) }
    }
}
