internal import Logging
internal import NIOCore
internal import Wire

/// What a connection does once both sides know each other, and how it ends.
extension LaneHandler {
    func openIfReady(_ context: ChannelHandlerContext) {
        guard let link, case .waiting(_, let lane) = phase else { return }
        phase = .open(link, lane)
        deadline?.cancel()
        if lane == .control { startPinging(context) }
        decode(context)
        if isReadWanted {
            isReadWanted = false
            context.read()
        }
        flush(context)
    }

    // MARK: In

    func decode(_ context: ChannelHandlerContext) {
        while true {
            let frame: Frame
            do throws(WireError) {
                switch phase {
                case .securing, .waiting, .closing, .closed: return
                case .greeting, .open:
                    guard let next = try decoder.next() else { return }
                    frame = next
                }
            } catch {
                return violation(context, "\(name(context)) sent what is no frame: \(error)")
            }
            switch phase {
            case .greeting(let peer, let lane): greeted(context, frame, peer, lane)
            case .open(let link, _): receive(context, frame, link)
            case .securing, .waiting, .closing, .closed: return
            }
        }
    }

    private func receive(_ context: ChannelHandlerContext, _ frame: Frame, _ link: PeerLink) {
        switch frame.kind {
        case .call, .reply, .failure:
            link.receive(frame)
        case .ping:
            guard connection.sendUrgent(Frame(kind: .pong, callID: frame.callID)) else {
                return violation(context, "\(link.peer) sends pings and takes no answers")
            }
            flush(context)
        case .pong:
            guard let sentAt = pingSentAt.removeValue(forKey: frame.callID) else {
                return violation(context, "\(link.peer) answers a ping that was not sent")
            }
            connection.record(roundTrip: Duration(NIODeadline.now() - sentAt))
        case .bye:
            let reason = (try? Refusal(decoding: frame.payload))?.reason ?? "no reason given"
            fail(context, .connectionLost, "\(link.peer) said goodbye: \(reason)")
        case .hello, .welcome, .refusal:
            violation(context, "\(link.peer) sent a \(frame.kind) frame after the first")
        }
    }

    // MARK: Out

    /// Writes what waits, for as long as the socket takes it.
    func flush(_ context: ChannelHandlerContext) {
        var burst = 0
        while context.channel.isWritable {
            switch phase {
            case .open, .closing: break
            case .securing, .greeting, .waiting, .closed: return
            }
            let (pieces, isLast) = connection.nextChunk()
            guard let last = pieces.last else { return }
            for piece in pieces.dropLast() { context.write(wrapOutboundOut(piece), promise: nil) }
            guard !isLast else {
                context.writeAndFlush(wrapOutboundOut(last)).assumeIsolated().whenComplete { _ in
                    context.close(promise: nil)
                }
                return
            }
            context.writeAndFlush(wrapOutboundOut(last), promise: nil)
            burst += pieces.reduce(0) { $0 + $1.readableBytes }
            guard burst < LaneHandler.burstBytesMax else {
                // On loopback the socket is never full; without a pause nobody else would be read.
                context.eventLoop.assumeIsolated().scheduleTask(in: LaneHandler.burstPause) {
                    self.flush(context)
                }
                return
            }
        }
    }

    private func startPinging(_ context: ChannelHandlerContext) {
        let configuration = transport.configuration
        let interval = min(configuration.pingInterval, configuration.idleTimeout / 3)
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        pinging = context.eventLoop.scheduleRepeatedTask(
            initialDelay: .zero, delay: TimeAmount(interval)
        ) { _ in
            let (handler, context) = bound.value
            handler.ping(context)
        }
    }

    private func ping(_ context: ChannelHandlerContext) {
        guard case .open(let link, _) = phase else { return }
        let silence = Duration(NIODeadline.now() - lastRead)
        guard silence < transport.configuration.idleTimeout else {
            return fail(context, .connectionLost, "\(link.peer) has been silent for \(silence)")
        }
        // If too many wait, one more would measure nothing.
        guard connection.sendUrgent(Frame(kind: .ping, callID: pingCount + 1)) else { return }
        pingCount += 1
        pingSentAt[pingCount] = .now()
        flush(context)
    }

    // MARK: The end

    /// Ends on purpose: what is queued goes first, then a goodbye.
    func close(_ context: ChannelHandlerContext, _ reason: String) {
        switch phase {
        case .closing, .closed: return
        case .securing, .greeting: fail(context, .connectionLost, reason)
        case .waiting, .open:
            connection.end(with: Frame(kind: .bye, payload: Refusal(reason: reason).encode()))
            phase = .closing
            cutLater(context)
            flush(context)
            // What comes now is not read any more, but the end of it must be seen.
            context.read()
        }
    }

    /// Closes whatever happens, if the other side does not let it end properly.
    func cutLater(_ context: ChannelHandlerContext) {
        deadline?.cancel()
        pinging?.cancel()
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        let timeout = TimeAmount(transport.configuration.closeTimeout)
        deadline = context.eventLoop.scheduleTask(in: timeout) {
            let (handler, context) = bound.value
            handler.fail(context, .connectionLost, "the connection did not close")
        }
    }

    func violation(_ context: ChannelHandlerContext, _ reason: String) {
        if case .open = phase { transport.logger.warning("hostile or broken: \(reason)") }
        fail(context, .protocolViolation, reason)
    }

    /// Ends at once.
    ///
    /// The first call counts; all ways out come through here.
    func fail(_ context: ChannelHandlerContext, _ code: ClusterError.Code, _ reason: String) {
        if case .closed = phase { return }
        switch (phase, side) {
        case (.securing, .acceptor), (.greeting, .acceptor), (.waiting, .acceptor):
            transport.logger.notice("turned a connection away: \(reason)")
        default: break
        }
        phase = .closed
        deadline?.cancel()
        pinging?.cancel()
        handshakeEnded()
        connection.abandon()
        transport.step(.closed(connection.id, reason: reason))
        transport.unregister(connection.id)
        if case .dialer(_, _, _, _, let outcome) = side {
            outcome.fail(ClusterError(code, reason))
        }
        context.close(promise: nil)
    }

    func handshakeEnded() {
        guard isHandshakeCounted else { return }
        isHandshakeCounted = false
        transport.handshakeEnded()
    }

    /// The other side, for people.
    func name(_ context: ChannelHandlerContext) -> String {
        switch (phase, side) {
        case (.greeting(let peer, _), _), (.waiting(let peer, _), _): "\(peer)"
        case (.open(let link, _), _): "\(link.peer)"
        case (_, .dialer(_, let address, _, _, _)): "\(address)"
        case (_, .acceptor): context.channel.remoteName
        }
    }
}

extension Channel {
    /// Address of the other side, for people.
    var remoteName: String {
        guard let address = remoteAddress, let host = address.ipAddress else {
            return "an unknown address"
        }
        return "\(Address(host: host, port: address.port ?? 0))"
    }
}

extension Duration {
    init(_ amount: TimeAmount) { self = .nanoseconds(amount.nanoseconds) }
}
