internal import Logging
internal import NIOCore
internal import NIOPosix
internal import Synchronization

/// Makes channels, both those that come and those that go out.
final class Acceptor: Sendable {
    /// Set before the first connection is accepted.
    let transport = Mutex<TCPTransport?>(nil)

    /// Connections that wait for being accepted, at most.
    private static let backlog: Int32 = 256

    /// Listens, and accepts nothing yet.
    func bind(
        _ address: Address, _ loops: MultiThreadedEventLoopGroup, _ configuration: TCPConfiguration
    ) async throws -> any Channel {
        let bootstrap = ServerBootstrap(group: loops)
            .serverChannelOption(.backlog, value: Acceptor.backlog)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .serverChannelOption(.autoRead, value: false)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try self.transport.withLock { $0 }?.accept(channel)
                }
            }
        return try await SocketTuning.apply(to: bootstrap, configuration)
            .bind(host: address.host, port: address.port).get()
    }
}

extension TCPTransport {
    /// Takes an accepted connection in, or closes it if there are too many.
    fileprivate func accept(_ channel: any Channel) throws {
        guard let connection = admit(channel, isAccepted: true) else {
            logger.warning("too many connections: one from \(channel.remoteName) is closed")
            channel.close(promise: nil)
            return
        }
        try channel.pipeline.syncOperations.addHandlers([
            tls.serverHandler(), LaneHandler(self, connection, .acceptor),
        ])
    }

    package func connect(to address: Address, role: Role) async throws -> NodeID {
        if let peer = connectedPeer(at: address, role) { return peer }
        await dialing.enter(address)
        defer { dialing.leave(address) }
        if let peer = connectedPeer(at: address, role) { return peer }
        try Task.checkCancellation()
        let peer = try await dialLanes(address, role)
        dialing.note(peer, at: address)
        return peer
    }

    private func connectedPeer(at address: Address, _ role: Role) -> NodeID? {
        guard let peer = dialing.peer(at: address), peer.role == role, isConnected(peer) else {
            return nil
        }
        return peer
    }

    private func dialLanes(_ address: Address, _ role: Role) async throws -> NodeID {
        let peer = try await dial(address, role, .control)
        if isConnected(peer) { return peer }
        do {
            let other = try await dial(address, role, .bulk)
            guard other == peer, isConnected(peer) else {
                throw ClusterError(
                    .connectionLost, "the connection to \(peer) was closed while it was being made")
            }
        } catch {
            step(.gaveUp(peer, reason: "the bulk lane did not open"))
            throw error
        }
        return peer
    }

    /// Opens one lane, or finds that both are open.
    private func dial(_ address: Address, _ role: Role, _ lane: Lane) async throws -> NodeID {
        var attempt: UInt32 = 0
        while true {
            switch try await dial(address, role, lane, attempt: attempt) {
            case .connected(let peer): return peer
            case .redial: attempt += 1
            }
            guard attempt <= LaneHandler.redialsMax else {
                throw ClusterError(.protocolViolation, "\(address) asks for the same lane forever")
            }
        }
    }

    private func dial(
        _ address: Address, _ role: Role, _ lane: Lane, attempt: UInt32
    ) async throws -> LaneHandler.Dialed {
        let loop = loop(lane)
        let outcome = loop.makePromise(of: LaneHandler.Dialed.self)
        let bootstrap = ClientBootstrap(group: loop)
            .connectTimeout(TimeAmount(configuration.connectTimeout))
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    guard let connection = self.admit(channel, isAccepted: false) else {
                        throw ClusterError(.overloaded, "\(self.local) has too many connections")
                    }
                    let side = LaneHandler.Side.dialer(
                        lane, address, role, attempt: attempt, outcome)
                    try channel.pipeline.syncOperations.addHandlers([
                        self.tls.clientHandler(lane), LaneHandler(self, connection, side),
                    ])
                }
            }
        let channel: any Channel
        do {
            channel = try await SocketTuning.apply(to: bootstrap, configuration)
                .connect(host: address.host, port: address.port).get()
        } catch {
            outcome.fail(error)
            if let error = error as? ClusterError { throw error }
            throw ClusterError(.unreachable, "\(address) can't be reached", cause: error)
        }
        return try await withTaskCancellationHandler {
            try await outcome.futureResult.get()
        } onCancel: {
            channel.close(promise: nil)
        }
    }
}

/// Socket options that both directions share.
private enum SocketTuning {
    /// Bytes that a channel buffers: above the first it is not writable until below the second.
    static let watermark = ChannelOptions.Types.WriteBufferWaterMark(
        low: OutboundQueue.chunkBytesMax, high: 2 * OutboundQueue.chunkBytesMax)
    /// Bytes read from a socket at once.
    static let receiver = AdaptiveRecvByteBufferAllocator(
        minimum: 4096, initial: 65_536, maximum: 256 << 10)

    static func apply(
        to bootstrap: ServerBootstrap, _ configuration: TCPConfiguration
    ) -> ServerBootstrap {
        var bootstrap = bootstrap.childChannelOption(.writeBufferWaterMark, value: watermark)
            .childChannelOption(.recvAllocator, value: receiver)
        for (option, value) in options(configuration) {
            bootstrap = bootstrap.childChannelOption(option, value: value)
        }
        return bootstrap
    }

    static func apply(
        to bootstrap: ClientBootstrap, _ configuration: TCPConfiguration
    ) -> ClientBootstrap {
        var bootstrap = bootstrap.channelOption(.writeBufferWaterMark, value: watermark)
            .channelOption(.recvAllocator, value: receiver)
        for (option, value) in options(configuration) {
            bootstrap = bootstrap.channelOption(option, value: value)
        }
        return bootstrap
    }

    private static func options(
        _ configuration: TCPConfiguration
    ) -> [(ChannelOptions.Types.SocketOption, Int)] {
        var options: [(ChannelOptions.Types.SocketOption, Int)] = [
            (.tcpOption(.tcp_nodelay), 1), (.socketOption(.so_keepalive), 1),
        ]
        #if os(Linux)
        // What was sent and is not acknowledged by then ends the connection: TCP_USER_TIMEOUT.
        let userTimeout = NIOBSDSocket.Option(rawValue: 18)
        let milliseconds = Int(configuration.idleTimeout / .milliseconds(1))
        options.append((.tcpOption(userTimeout), milliseconds))
        #endif
        return options
    }
}
