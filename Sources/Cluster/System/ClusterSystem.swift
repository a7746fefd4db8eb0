package import Distributed
package import Logging
internal import NIOCore
internal import Synchronization
package import Wire

/// The distributed actor system: turns calls on remote actors into frames and frames into calls.
///
/// One process is one node with one role actor, so the actor's identity is the node's. A call is a
/// number from the ``MethodTable``, one value, and a deadline. It fails with a ``ClusterError`` and
/// may have run or not; whoever repeats it must make that harmless.
package final class ClusterSystem: DistributedActorSystem, Sendable {
    package typealias ActorID = NodeID
    package typealias InvocationEncoder = CallEncoder
    package typealias InvocationDecoder = CallDecoder
    package typealias ResultHandler = CallResultHandler
    package typealias SerializationRequirement = any WireValue

    /// A change of who can be reached.
    package enum PeerEvent: Sendable, Equatable {
        case connected(NodeID, incarnation: UInt64)
        case lost(NodeID, reason: String)
    }

    /// The authenticated node whose call is being served by this task.
    @TaskLocal package static var caller: Caller?

    package struct Caller: Sendable, Equatable {
        package let node: NodeID
    }

    private struct Inbound: Sendable {
        let frame: Frame
        let method: Method
        let peer: NodeID
    }

    private struct State {
        var actor: (any DistributedActor)?
        var served = ServedCalls()
    }

    package let node: NodeID
    package let clock: any ClusterClock
    /// Who came and who went, in order.
    package let peerEvents: AsyncStream<PeerEvent>
    private let transport: any Transport
    private let methods: MethodTable
    private let logger: Logger
    private let calls = CallTable()
    private let state = Mutex(State())
    private let inbound: AsyncStream<Inbound>
    private let inboundContinuation: AsyncStream<Inbound>.Continuation
    private let peerContinuation: AsyncStream<PeerEvent>.Continuation

    package init(
        transport: any Transport, clock: any ClusterClock, methods: MethodTable, logger: Logger
    ) {
        node = transport.local
        self.transport = transport
        self.clock = clock
        self.methods = methods
        self.logger = logger
        (inbound, inboundContinuation) = AsyncStream.makeStream()
        (peerEvents, peerContinuation) = AsyncStream.makeStream()
    }

    /// Serves calls until cancelled.
    ///
    /// Every served call is a child of this one.
    package func run() async throws {
        try await withThrowingDiscardingTaskGroup { group in
            group.addTask {
                try await self.transport.run { self.receive($0) }
            }
            for await call in inbound {
                group.addTask { await self.serve(call) }
            }
            group.cancelAll()
        }
    }

    /// Connects to the node at `address`, which must prove to have role `role`.
    package func connect(to address: Address, role: Role) async throws -> NodeID {
        try await transport.connect(to: address, role: role)
    }

    package func disconnect(_ peer: NodeID) { transport.disconnect(peer) }

    // MARK: Actors

    package func resolve<Act>(id: ActorID, as actorType: Act.Type) throws -> Act?
    where Act: DistributedActor, ActorID == Act.ID {
        guard id == node else { return nil }
        return state.withLock { $0.actor as? Act }
    }

    package func assignID<Act>(_ actorType: Act.Type) -> ActorID
    where Act: DistributedActor, ActorID == Act.ID { node }

    package func actorReady<Act>(_ actor: Act) where Act: DistributedActor, ActorID == Act.ID {
        state.withLock { state in
            precondition(state.actor == nil, "a node has one actor")
            state.actor = actor
        }
    }

    package func resignID(_ id: ActorID) {}

    package func makeInvocationEncoder() -> CallEncoder { CallEncoder() }

    // MARK: Calls out

    package func remoteCall<Act, Err, Res>(
        on actor: Act, target: RemoteCallTarget, invocation: inout CallEncoder,
        throwing: Err.Type, returning: Res.Type
    ) async throws -> Res
    where Act: DistributedActor, Act.ID == ActorID, Err: Error, Res: WireValue {
        let reply = try await call(actor.id, target, invocation)
        return try Res(decoding: reply)
    }

    package func remoteCallVoid<Act, Err>(
        on actor: Act, target: RemoteCallTarget, invocation: inout CallEncoder, throwing: Err.Type
    ) async throws where Act: DistributedActor, Act.ID == ActorID, Err: Error {
        _ = try await call(actor.id, target, invocation)
    }

    private func call(
        _ peer: NodeID, _ target: RemoteCallTarget, _ invocation: CallEncoder
    ) async throws -> WirePayload {
        guard let method = methods.method(target: target.identifier) else {
            preconditionFailure("\(target.identifier) (\(target)) is not in the method table")
        }
        let id = calls.makeID()
        defer { calls.forget(id) }
        let frame = Frame(
            kind: .call, callID: id, method: method.id, deadline: method.deadline,
            payload: invocation.payload ?? Nothing().encode())
        return try await withThrowingTaskGroup(of: WirePayload.self) { group in
            group.addTask {
                try await self.calls.reply(to: id, from: peer) {
                    try self.transport.send(frame, to: peer, lane: method.lane)
                }
            }
            group.addTask {
                try await self.clock.sleep(for: method.deadline)
                throw ClusterError(
                    .deadlineExceeded,
                    "\(peer) did not answer \(method.name) within \(method.deadline)")
            }
            defer { group.cancelAll() }
            guard let reply = try await group.next() else { throw CancellationError() }
            return reply
        }
    }

    // MARK: Calls in

    /// Takes what the transport delivers; called on the transport's threads, never blocks.
    private func receive(_ event: TransportEvent) {
        switch event {
        case .connected(let peer, let incarnation):
            peerContinuation.yield(.connected(peer, incarnation: incarnation))
        case .lost(let peer, let reason):
            calls.fail(
                callsTo: peer,
                with: ClusterError(.connectionLost, "the connection to \(peer) is lost: \(reason)"))
            peerContinuation.yield(.lost(peer, reason: reason))
        case .frame(let frame, let peer):
            receive(frame, from: peer)
        }
    }

    private func receive(_ frame: Frame, from peer: NodeID) {
        switch frame.kind {
        case .call:
            admit(frame, from: peer)
        case .reply:
            calls.finish(frame.callID, from: peer, with: .success(frame.payload))
        case .failure:
            let failure = ClusterError.decode(frame.payload)
            calls.finish(frame.callID, from: peer, with: .failure(failure))
        default:
            logger.warning("ignoring a \(frame.kind) frame from \(peer)")
        }
    }

    /// Lets a call in, or turns it away: unknown, not for this role, or too many.
    private func admit(_ frame: Frame, from peer: NodeID) {
        guard let method = methods.method(id: frame.method) else {
            return fail(frame, ClusterError(.protocolViolation, "no method \(frame.method)"), peer)
        }
        guard method.callers.contains(peer.role) else {
            logger.warning("\(peer) may not call \(method.name)")
            return fail(
                frame, ClusterError(.forbidden, "\(peer.role) may not call \(method.name)"), peer)
        }
        let excess = state.withLock { $0.served.admit(bytes: frame.payload.byteCount, from: peer) }
        if let excess {
            return fail(
                frame, ClusterError(.overloaded, "\(node) serves \(excess) already"), peer)
        }
        inboundContinuation.yield(Inbound(frame: frame, method: method, peer: peer))
    }

    private func serve(_ call: Inbound) async {
        defer {
            state.withLock {
                $0.served.end(bytes: call.frame.payload.byteCount, from: call.peer)
            }
        }
        guard let actor = state.withLock({ $0.actor }), isTarget(call.method, of: actor) else {
            return fail(
                call.frame,
                ClusterError(.protocolViolation, "\(node) has no \(call.method.name)"), call.peer)
        }
        let handler = CallResultHandler { result in self.answer(call, result) }
        var decoder = CallDecoder(call.frame.payload)
        do {
            try await ClusterSystem.$caller.withValue(Caller(node: call.peer)) {
                try await executeDistributedTarget(
                    on: actor, target: RemoteCallTarget(call.method.target),
                    invocationDecoder: &decoder, handler: handler)
            }
        } catch {
            fail(call.frame, ClusterError.reportable(error), call.peer)
        }
    }

    /// Whether the runtime may dispatch `method` on `actor`.
    ///
    /// Another type's method would crash.
    private func isTarget(_ method: Method, of actor: any DistributedActor) -> Bool {
        guard let name = _mangledTypeName(type(of: actor)) else { return false }
        return method.target.hasPrefix("$s" + name)
    }

    private func answer(_ call: Inbound, _ result: Result<WirePayload, ClusterError>) {
        switch result {
        case .failure(let error): fail(call.frame, error, call.peer)
        case .success(let payload):
            let frame = Frame(
                kind: .reply, callID: call.frame.callID, method: call.method.id, deadline: nil,
                payload: payload)
            send(frame, to: call.peer, lane: call.method.lane)
        }
    }

    private func fail(_ frame: Frame, _ error: ClusterError, _ peer: NodeID) {
        let lane = methods.method(id: frame.method)?.lane ?? .control
        let failure = Frame(
            kind: .failure, callID: frame.callID, method: frame.method, deadline: nil,
            payload: error.encode())
        send(failure, to: peer, lane: lane)
    }

    /// An answer that can't be sent is dropped: its caller learns from the lost connection.
    private func send(_ frame: Frame, to peer: NodeID, lane: Lane) {
        do {
            try transport.send(frame, to: peer, lane: lane)
        } catch {
            logger.debug("an answer to \(peer) is dropped: \(error)")
        }
    }
}
