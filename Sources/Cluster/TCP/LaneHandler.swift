internal import NIOCore
internal import NIOSSL
internal import NIOTLS
internal import Wire

/// One connection, from the TLS handshake to the goodbye, on its event loop.
///
///     securing ──TLS, certificate──> greeting ──hello, welcome──> waiting ──other lane──> open
///        └────────────────┴──── refused, cut, too slow ──────────────┴──────────┬──────────┘
///                                                                  closing ──> closed
///
/// Nothing is decoded while securing or waiting: reading pauses, so that a peer that is too fast
/// costs one receive buffer.
final class LaneHandler: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = Never
    typealias OutboundOut = ByteBuffer

    /// What came of a dial.
    enum Dialed: Sendable {
        /// The peer accepted this lane, or is connected already.
        case connected(NodeID)
        case redial
    }

    enum Side {
        case dialer(Lane, Address, Role, attempt: UInt32, EventLoopPromise<Dialed>)
        case acceptor
    }

    enum Phase {
        case securing
        case greeting(NodeID, Lane)
        case waiting(NodeID, Lane)
        case open(PeerLink, Lane)
        case closing
        case closed
    }

    let transport: TCPTransport
    let connection: Connection
    let side: Side
    var phase = Phase.securing
    var decoder: FrameDecoder
    /// Whether this still counts as an accepted connection that has not proved who it is.
    var isHandshakeCounted: Bool
    /// Set when the table opens the link, which may be before it accepts the hello.
    var link: PeerLink?
    var isReadWanted = false
    var deadline: Scheduled<Void>?
    var pinging: RepeatedTask?
    var lastRead = NIODeadline.now()
    var pingSentAt: [UInt64: NIODeadline] = [:]
    var pingCount: UInt64 = 0

    /// Bytes written before the loop looks at its other connections again.
    static let burstBytesMax = 4 << 20
    /// For how long it then does.
    static let burstPause = TimeAmount.microseconds(20)
    /// How often a lane may be sent to the other event loop before it is taken on any.
    static let redialsMax: UInt32 = 4

    init(_ transport: TCPTransport, _ connection: Connection, _ side: Side) {
        self.transport = transport
        self.connection = connection
        self.side = side
        if case .acceptor = side { isHandshakeCounted = true } else { isHandshakeCounted = false }
        decoder = FrameDecoder(limits: TCPConfiguration.handshakeLimits, pool: transport.pool)
    }

    // MARK: Events of the channel

    func channelActive(context: ChannelHandlerContext) {
        let timeout = transport.configuration.handshakeTimeout
        let (bound, name) = (
            NIOLoopBound((self, context), eventLoop: context.eventLoop), name(context)
        )
        deadline = context.eventLoop.scheduleTask(in: TimeAmount(timeout)) {
            let (handler, context) = bound.value
            handler.fail(
                context, .unreachable, "\(name) did not finish its handshake in \(timeout)")
        }
        context.fireChannelActive()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .handshakeCompleted(let negotiated)? = event as? TLSUserEvent {
            secured(context, negotiated)
        }
        context.fireUserInboundEventTriggered(event)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        lastRead = .now()
        switch phase {
        case .closing, .closed: return
        case .securing, .greeting, .waiting, .open: decoder.append(unwrapInboundIn(data))
        }
        decode(context)
    }

    func read(context: ChannelHandlerContext) {
        if case .waiting = phase { isReadWanted = true } else { context.read() }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        flush(context)
        context.fireChannelWritabilityChanged()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        switch (phase, side) {
        case (.securing, _), (.greeting, .dialer):
            // With TLS 1.3 the peer judges our certificate when for us the handshake is over.
            fail(context, .refused, "no TLS with \(name(context)): \(TLS.explain(error))")
        default:
            let reason = "the connection to \(name(context)) broke: \(TLS.explain(error))"
            fail(context, .connectionLost, reason)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        fail(context, .connectionLost, "\(name(context)) closed the connection")
        context.fireChannelInactive()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        fail(context, .connectionLost, "the connection was given up")
    }

    // MARK: Commands of other threads

    func triggerUserOutboundEvent(
        context: ChannelHandlerContext, event: Any, promise: EventLoopPromise<Void>?
    ) {
        guard let command = event as? Connection.Command else {
            return context.triggerUserOutboundEvent(event, promise: promise)
        }
        switch command {
        case .flush: flush(context)
        case .accept: accepted(context)
        case .refuse(let reason): refuse(context, Refusal(reason: reason))
        case .surplus: surplus(context)
        case .open(let link):
            self.link = link
            openIfReady(context)
        case .close(let reason): close(context, reason)
        }
        promise?.succeed()
    }
}
