internal import NIOCore
internal import Synchronization
internal import Wire

/// A network inside a ``Simulation`` that delays, loses and repeats frames and cuts nodes off, all
/// drawn from the simulation's seed.
///
/// Every node may have a line of its own, which takes its time for each byte and counts it.
///
/// Frames go through the production encoder and decoder.
package final class SimulatedNetwork: Sendable {
    /// What the network does to frames.
    package struct Faults: Sendable {
        /// Chance that a frame never arrives.
        package var loss = 0.0
        /// Chance that a frame arrives twice.
        package var duplication = 0.0
        /// How long a frame is under way; frames overtake each other.
        package var delay: ClosedRange<Duration> = .microseconds(100)...(.milliseconds(2))
        /// How long until peers of a dead node notice the broken connection.
        package var detection: Duration = .milliseconds(20)

        package init() {}
    }

    private struct Node {
        let incarnation: UInt64
        var deliver: (@Sendable (TransportEvent) -> Void)?
        var peers: Set<NodeID> = []
    }

    private struct State {
        var nodes: [NodeID: Node] = [:]
        var addresses: [Address: NodeID] = [:]
        /// Lines outlive the nodes on them.
        var ports: [NodeID: SimulatedPort] = [:]
        var faults: Faults
    }

    private let simulation: Simulation
    private let state: Mutex<State>

    package init(_ simulation: Simulation, faults: Faults = Faults()) {
        self.simulation = simulation
        state = Mutex(State(faults: faults))
    }

    /// A transport for one more node; a node of the same name from an earlier life must be dead.
    package func attach(
        _ node: NodeID, incarnation: UInt64, address: Address?
    ) -> any Transport {
        state.withLock { state in
            state.nodes[node] = Node(incarnation: incarnation)
            if let address { state.addresses[address] = node }
        }
        return InMemoryTransport(local: node, incarnation: incarnation, network: self)
    }

    package func setFaults(_ faults: Faults) { state.withLock { $0.faults = faults } }

    /// Gives `node` a line; without one its frames take the faults' delay only.
    package func connect(_ node: NodeID, by link: SimulatedLink) {
        state.withLock { $0.ports[node] = SimulatedPort(link) }
    }

    /// What has gone over the line of `node`; a frame counts when it is sent.
    package func traffic(of node: NodeID) -> (up: Int, down: Int) {
        state.withLock { ($0.ports[node]?.bytesUp ?? 0, $0.ports[node]?.bytesDown ?? 0) }
    }

    /// Ends a node as SIGKILL would: what it sent before may still arrive, nothing reaches it any
    /// more, and its peers notice after a while.
    package func kill(_ node: NodeID) {
        let (survivors, detection) = state.withLock { state in
            let survivors = state.nodes.removeValue(forKey: node)?.peers.sorted() ?? []
            for peer in survivors { state.nodes[peer]?.peers.remove(node) }
            return (survivors, state.faults.detection)
        }
        simulation.record("kill \(node)")
        for peer in survivors {
            simulation.schedule(after: detection) {
                self.deliver(.lost(peer: node, reason: "killed"), to: peer)
            }
        }
    }

    // MARK: Transport

    fileprivate func serve(_ node: NodeID, _ deliver: @escaping @Sendable (TransportEvent) -> Void)
    {
        state.withLock { $0.nodes[node]?.deliver = deliver }
    }

    fileprivate func detach(_ node: NodeID, incarnation: UInt64) {
        let isCurrent = state.withLock { $0.nodes[node]?.incarnation == incarnation }
        if isCurrent { kill(node) }
    }

    fileprivate func connect(_ node: NodeID, to address: Address, role: Role) throws -> NodeID {
        let (peer, isNew) = try state.withLock { state -> (NodeID, Bool) in
            guard let peer = state.addresses[address], state.nodes[peer]?.deliver != nil else {
                throw ClusterError(.unreachable, "nobody listens at \(address)")
            }
            guard peer.role == role else {
                throw ClusterError(.refused, "\(address) is \(peer), not a \(role)")
            }
            let isNew = state.nodes[node]?.peers.insert(peer).inserted ?? false
            state.nodes[peer]?.peers.insert(node)
            return (peer, isNew)
        }
        if isNew {
            introduce(node, to: peer)
            introduce(peer, to: node)
        }
        return peer
    }

    private func introduce(_ node: NodeID, to peer: NodeID) {
        guard let incarnation = state.withLock({ $0.nodes[node]?.incarnation }) else { return }
        deliver(.connected(peer: node, incarnation: incarnation), to: peer)
    }

    fileprivate func send(
        _ frame: Frame, from: NodeID, to peer: NodeID, lane: Lane
    ) throws(ClusterError) {
        let (isConnected, faults) = state.withLock {
            ($0.nodes[from]?.peers.contains(peer) ?? false, $0.faults)
        }
        guard isConnected else {
            throw ClusterError(.connectionLost, "\(from) is not connected to \(peer)")
        }
        var copies = simulation.draw { $0.unit() } < faults.loss ? 0 : 1
        if simulation.draw({ $0.unit() }) < faults.duplication { copies += 1 }
        simulation.record(
            "\(from) -> \(peer) \(frame.kind) \(frame.callID) method \(frame.method) x\(copies)")
        let bytes = SimulatedNetwork.encode(frame)
        for _ in 0..<copies {
            let delay =
                simulation.draw { $0.duration(in: faults.delay) }
                + lineTime(bytes.readableBytes, from: from, to: peer, lane)
            simulation.schedule(after: delay) {
                guard let frame = SimulatedNetwork.decode(bytes) else { return }
                self.deliver(.frame(frame, from: from), to: peer)
            }
        }
    }

    /// How long a frame is held up by both nodes' lines.
    private func lineTime(_ bytes: Int, from: NodeID, to peer: NodeID, _ lane: Lane) -> Duration {
        let now = simulation.now
        return state.withLock { state in
            var sender = state.ports[from] ?? SimulatedPort(SimulatedLink())
            var receiver = state.ports[peer] ?? SimulatedPort(SimulatedLink())
            let arrival = SimulatedPort.carry(
                bytes, from: &sender, to: &receiver, at: now, inQueue: lane == .bulk)
            // Nodes without a line are not counted, and hold nobody up.
            if state.ports[from] != nil { state.ports[from] = sender }
            if state.ports[peer] != nil { state.ports[peer] = receiver }
            return arrival - now
        }
    }

    fileprivate func disconnect(_ node: NodeID, from peer: NodeID) {
        let wasConnected = state.withLock { state in
            state.nodes[peer]?.peers.remove(node)
            return state.nodes[node]?.peers.remove(peer) != nil
        }
        guard wasConnected else { return }
        deliver(.lost(peer: peer, reason: "disconnected"), to: node)
        deliver(.lost(peer: node, reason: "disconnected"), to: peer)
    }

    private func deliver(_ event: TransportEvent, to node: NodeID) {
        state.withLock { $0.nodes[node]?.deliver }?(event)
    }

    // MARK: Bytes

    private static func encode(_ frame: Frame) -> ByteBuffer {
        var bytes = ByteBuffer()
        for var part in FrameEncoder.encode(frame) { bytes.writeBuffer(&part) }
        return bytes
    }

    private static func decode(_ bytes: ByteBuffer) -> Frame? {
        var decoder = FrameDecoder()
        decoder.append(bytes)
        do { return try decoder.next() } catch {
            preconditionFailure("a frame of our own does not decode: \(error)")
        }
    }
}

/// One node's end of a ``SimulatedNetwork``.
private struct InMemoryTransport: Transport {
    let local: NodeID
    let incarnation: UInt64
    let network: SimulatedNetwork

    func run(deliver: @escaping @Sendable (TransportEvent) -> Void) async throws {
        network.serve(local, deliver)
        defer { network.detach(local, incarnation: incarnation) }
        let (never, continuation) = AsyncStream<Never>.makeStream()
        for await _ in never {}
        _ = continuation
    }

    func connect(to address: Address, role: Role) async throws -> NodeID {
        try network.connect(local, to: address, role: role)
    }

    func send(_ frame: Frame, to peer: NodeID, lane: Lane) throws(ClusterError) {
        try network.send(frame, from: local, to: peer, lane: lane)
    }

    func disconnect(_ peer: NodeID) { network.disconnect(local, from: peer) }
}
