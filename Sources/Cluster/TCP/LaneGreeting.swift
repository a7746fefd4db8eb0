internal import Logging
internal import NIOCore
internal import Wire

/// How a connection comes to be: who is there, hello, welcome or refusal.
extension LaneHandler {
    /// TLS is up.
    ///
    /// Nothing was read so far; now it is known from whom it would be.
    func secured(_ context: ChannelHandlerContext, _ negotiated: String?) {
        guard case .securing = phase else { return }
        let lane = Lane.allCases.first { $0.applicationProtocol == negotiated }
        guard let lane else {
            return fail(context, .refused, "\(name(context)) speaks none of our protocols (ALPN)")
        }
        let peer: NodeID
        do {
            peer = try transport.tls.peer(of: context)
        } catch {
            return fail(context, .refused, "\(name(context)) is not acceptable: \(error.message)")
        }
        phase = .greeting(peer, lane)
        guard case .dialer(let wanted, let address, let role, _, _) = side else { return }
        guard lane == wanted, peer.role == role else {
            return fail(context, .refused, "\(address) is \(peer), not a \(role.rawValue)")
        }
        transport.step(.dialed(peer, lane, connection.id))
    }

    /// The table lets the connection go on.
    func accepted(_ context: ChannelHandlerContext) {
        guard case .greeting(let peer, let lane) = phase else { return }
        if case .dialer(_, _, _, let attempt, _) = side {
            let hello = Hello(
                cluster: transport.identity.cluster, role: transport.local.role.rawValue,
                name: transport.local.name, incarnation: transport.incarnation,
                lane: lane == .control ? .control : .bulk, attempt: attempt)
            return write(context, Frame(kind: .hello, payload: hello.encode()))
        }
        let welcome = Welcome(incarnation: transport.incarnation)
        write(context, Frame(kind: .welcome, payload: welcome.encode()))
        wait(peer, lane)
        openIfReady(context)
    }

    /// The first frame of a peer: hello, or the answer to ours.
    func greeted(_ context: ChannelHandlerContext, _ frame: Frame, _ peer: NodeID, _ lane: Lane) {
        do throws(WireError) {
            switch (side, frame.kind) {
            case (.acceptor, .hello):
                judge(context, try Hello(decoding: frame.payload), peer, lane)
            case (.dialer(_, _, _, _, let outcome), .welcome):
                let welcome = try Welcome(decoding: frame.payload)
                wait(peer, lane)
                transport.step(
                    .welcomed(peer, incarnation: welcome.incarnation, lane, connection.id))
                outcome.succeed(.connected(peer))
            case (.dialer(_, _, _, _, let outcome), .refusal):
                let refusal = try Refusal(decoding: frame.payload)
                if refusal.redial {
                    transport.step(.withdrawn(connection.id))
                    outcome.succeed(.redial)
                }
                fail(context, .refused, "\(peer) refused: \(refusal.reason)")
            default:
                violation(context, "\(peer) began with a \(frame.kind) frame")
            }
        } catch {
            violation(context, "\(peer) sent a \(frame.kind) that does not decode: \(error)")
        }
    }

    private func judge(
        _ context: ChannelHandlerContext, _ hello: Hello, _ peer: NodeID, _ lane: Lane
    ) {
        guard hello.protocolVersion == Hello.protocolVersion else {
            let versions =
                "version \(hello.protocolVersion), \(transport.local) speaks "
                + "\(Hello.protocolVersion)"
            return refuse(context, Refusal(reason: "you speak \(versions)"))
        }
        let claimed = "\(hello.role)/\(hello.name) of cluster \(hello.cluster)"
        let proved = "\(peer) of cluster \(transport.identity.cluster)"
        guard claimed == proved, (hello.lane == .control) == (lane == .control) else {
            return refuse(
                context, Refusal(reason: "the hello says \(claimed), the certificate \(proved)"))
        }
        let isPlaced = context.eventLoop === transport.loop(lane)
        guard isPlaced || hello.attempt >= LaneHandler.redialsMax else {
            return refuse(context, Refusal(reason: "on another thread, please", redial: true))
        }
        transport.step(.hello(peer, incarnation: hello.incarnation, lane, connection.id))
    }

    /// Says why not, and closes behind it.
    func refuse(_ context: ChannelHandlerContext, _ refusal: Refusal) {
        guard case .greeting(let peer, _) = phase else { return }
        if case .dialer = side { return fail(context, .refused, refusal.reason) }
        if !refusal.redial {
            transport.logger.notice("refused \(peer) at \(name(context)): \(refusal.reason)")
        }
        phase = .closing
        cutLater(context)
        let isWritten = context.eventLoop.makePromise(of: Void.self)
        write(context, Frame(kind: .refusal, payload: refusal.encode()), isWritten)
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        isWritten.futureResult.whenComplete { _ in bound.value.close(promise: nil) }
    }

    /// The dialed peer is connected already.
    func surplus(_ context: ChannelHandlerContext) {
        guard case .greeting(let peer, _) = phase else { return }
        if case .dialer(_, _, _, _, let outcome) = side { outcome.succeed(.connected(peer)) }
        fail(context, .cancelled, "\(peer) is connected already")
    }

    private func wait(_ peer: NodeID, _ lane: Lane) {
        phase = .waiting(peer, lane)
        decoder.limits = transport.configuration.limits(lane)
        handshakeEnded()
    }

    private func write(
        _ context: ChannelHandlerContext, _ frame: Frame, _ promise: EventLoopPromise<Void>? = nil
    ) {
        let bytes = FrameEncoder.encode(frame)
        for piece in bytes.dropLast() { context.write(wrapOutboundOut(piece), promise: nil) }
        if let last = bytes.last { context.writeAndFlush(wrapOutboundOut(last), promise: promise) }
    }
}
