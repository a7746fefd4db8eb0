import Cluster
import Foundation
import NIOCore
import NIOPosix
import Testing
import Wire

/// TLS as an outsider sees it: `openssl` knocks at a node's door.
@Suite(.timeLimit(.minutes(1))) struct TLSTests {
    private static let alpn = ["-alpn", "martlet-control/1"]

    /// Impatient, so that a connection that says nothing ends soon.
    private static var configuration: TCPConfiguration {
        var configuration = TCPConfiguration()
        configuration.handshakeTimeout = .seconds(2)
        return configuration
    }

    private func hello(
        _ cluster: TCPTestCluster, _ name: String, lane: Hello.Lane = .control,
        role: String = "worker", incarnation: UInt64 = 1
    ) -> ByteBuffer {
        let hello = Hello(
            cluster: cluster.authority.cluster, role: role, name: name, incarnation: incarnation,
            lane: lane, attempt: 9)
        return bytes(Frame(kind: .hello, payload: hello.encode()))
    }

    private func bytes(_ frame: Frame) -> ByteBuffer {
        var bytes = ByteBuffer()
        for piece in FrameEncoder.encode(frame) { bytes.writeImmutableBuffer(piece) }
        return bytes
    }

    private var welcome: ByteBuffer {
        bytes(Frame(kind: .welcome, payload: Welcome(incarnation: 1).encode()))
    }

    /// Sends a hello of `name` with the identity in `path`, if any, and checks that nobody came in.
    private func knock(
        _ cluster: TCPTestCluster, identity path: String?, _ arguments: [String],
        name: String = "eve",
        expecting alert: String
    ) async throws {
        try await cluster.withNode(.coordinator, "lead", configuration: TLSTests.configuration) {
            server, atServer in
            let shown = path.map { ["-cert", $0, "-key", $0] } ?? []
            let outcome = try await OpenSSL.connect(
                port: server.address.port, arguments + shown, input: hello(cluster, name))
            #expect(outcome.status != 0 && outcome.status != 124, "\(outcome.text)")
            #expect(outcome.text.contains(alert), "\(outcome.text)")
            #expect(!outcome.contains(welcome))
            #expect(atServer.events.isEmpty)
        }
    }

    @Test func aGoodIdentityIsLetIn() async throws {
        let cluster = try TCPTestCluster()
        let path = try cluster.identityPath(.worker, "eve")
        try await cluster.withNode(.coordinator, "lead", configuration: TLSTests.configuration) {
            server, atServer in
            // One lane is open, the other never comes: after the welcome the node gives up.
            let outcome = try await OpenSSL.connect(
                port: server.address.port,
                TLSTests.alpn + [
                    "-tls1_3", "-cert", path, "-key", path, "-CAfile", "\(cluster.folder)/ca.crt",
                    "-verify_return_error",
                ], input: hello(cluster, "eve"))
            #expect(outcome.contains(welcome), "\(outcome.text)")
            #expect(outcome.text.contains("ALPN protocol: martlet-control/1"))
            #expect(outcome.text.contains("Verification: OK"))
            #expect(outcome.text.contains("TLSv1.3"))
            #expect(atServer.events.isEmpty)
        }
    }

    @Test func noCertificateIsRefused() async throws {
        try await knock(
            TCPTestCluster(), identity: nil, TLSTests.alpn + ["-tls1_3"],
            expecting: "alert certificate required")
    }

    @Test func anotherAuthorityIsRefused() async throws {
        let (cluster, other) = (try TCPTestCluster(), try TCPTestCluster())
        try await knock(
            cluster, identity: other.identityPath(.worker, "eve"), TLSTests.alpn + ["-tls1_3"],
            expecting: "alert")
    }

    @Test func olderTLSIsRefused() async throws {
        let cluster = try TCPTestCluster()
        try await knock(
            cluster, identity: cluster.identityPath(.worker, "eve"), TLSTests.alpn + ["-tls1_2"],
            expecting: "alert protocol version")
    }

    @Test func anExpiredCertificateIsRefused() async throws {
        let cluster = try TCPTestCluster()
        let path = try cluster.identityPath(
            .worker, "eve", at: Date() - 300, validFor: .seconds(120))
        try await knock(
            cluster, identity: path, TLSTests.alpn + ["-tls1_3"],
            expecting: "alert certificate expired")
    }

    @Test func aCertificateOfTheFutureIsRefused() async throws {
        let cluster = try TCPTestCluster()
        let path = try cluster.identityPath(.worker, "eve", at: Date() + 3600)
        try await knock(cluster, identity: path, TLSTests.alpn + ["-tls1_3"], expecting: "alert")
    }

    /// Signed by the right authority, but stating no role that there is.
    @Test(arguments: ["pilot/eve", "worker/Eve", "worker", "worker/eve/x", "worker/"])
    func aCertificateWithoutARoleIsRefused(path: String) async throws {
        let cluster = try TCPTestCluster()
        let name = "\(cluster.folder)/foreign"
        let made = try await OpenSSL.run([
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-CA", "\(cluster.folder)/ca.crt", "-CAkey", "\(cluster.folder)/ca.key", "-days", "1",
            "-subj", "/CN=eve", "-addext", "basicConstraints=critical,CA:false", "-addext",
            "subjectAltName=URI:spiffe://\(cluster.authority.cluster)/\(path)",
            "-keyout", "\(name).key", "-out", "\(name).crt",
        ])
        #expect(made.status == 0, "\(made.text)")
        try await cluster.withNode(.coordinator, "lead", configuration: TLSTests.configuration) {
            server, atServer in
            let outcome = try await OpenSSL.connect(
                port: server.address.port,
                TLSTests.alpn + ["-tls1_3", "-cert", "\(name).crt", "-key", "\(name).key"],
                input: hello(cluster, "eve"))
            #expect(outcome.status != 124 && !outcome.contains(welcome), "\(outcome.text)")
            #expect(outcome.text.contains("closed"), "\(outcome.text)")
            #expect(atServer.events.isEmpty)
        }
    }

    @Test(arguments: [["-alpn", "h2"], []])
    func anotherProtocolIsRefused(alpn: [String]) async throws {
        let cluster = try TCPTestCluster()
        let path = try cluster.identityPath(.worker, "eve")
        try await cluster.withNode(.coordinator, "lead", configuration: TLSTests.configuration) {
            server, atServer in
            let outcome = try await OpenSSL.connect(
                port: server.address.port, alpn + ["-tls1_3", "-cert", path, "-key", path],
                input: hello(cluster, "eve"))
            #expect(outcome.status != 124 && !outcome.contains(welcome), "\(outcome.text)")
            #expect(atServer.events.isEmpty)
        }
    }

    @Test func aHelloOfAnotherNodeIsRefused() async throws {
        let cluster = try TCPTestCluster()
        let path = try cluster.identityPath(.worker, "eve")
        let lies = [
            hello(cluster, "anna"), hello(cluster, "eve", role: "coordinator"),
            hello(cluster, "eve", lane: .bulk),
        ]
        try await cluster.withNode(.coordinator, "lead", configuration: TLSTests.configuration) {
            server, atServer in
            for lie in lies {
                let outcome = try await OpenSSL.connect(
                    port: server.address.port,
                    TLSTests.alpn + ["-tls1_3", "-cert", path, "-key", path], input: lie)
                #expect(outcome.text.contains("the certificate worker/eve"), "\(outcome.text)")
                #expect(!outcome.contains(welcome))
            }
            #expect(atServer.events.isEmpty)
        }
    }

    /// Both lanes open, then garbage: that peer is lost, and nobody else notices.
    @Test(arguments: [
        ByteBuffer(string: "GET / HTTP/1.1\r\n\r\n" + String(repeating: "x", count: 100)),
        ByteBuffer(repeating: 0xFF, count: 4096),
    ])
    func hostileBytesCostTheirConnectionOnly(garbage: ByteBuffer) async throws {
        let cluster = try TCPTestCluster()
        let path = try cluster.identityPath(.worker, "eve")
        let eve = NodeID(role: .worker, name: "eve")
        let lead = NodeID(role: .coordinator, name: "lead")
        try await cluster.withNode(.coordinator, "lead") { server, atServer in
            try await cluster.withNode(.worker, "anna", listens: false) { client, atClient in
                _ = try await client.connect(to: server.address, role: .coordinator)
                async let bulk = OpenSSL.connect(
                    port: server.address.port,
                    ["-alpn", "martlet-bulk/1", "-cert", path, "-key", path],
                    input: hello(cluster, "eve", lane: .bulk))
                var input = hello(cluster, "eve")
                input.writeImmutableBuffer(bytes(Frame(kind: .call, callID: 77)))
                input.writeImmutableBuffer(garbage)
                async let control = OpenSSL.connect(
                    port: server.address.port, TLSTests.alpn + ["-cert", path, "-key", path],
                    input: input)
                await atServer.waitForConnection(of: eve)
                await atServer.waitForLoss(of: eve)
                _ = try await (bulk, control)
                #expect(atServer.frames.map(\.callID) == [77])
                try client.send(Frame(kind: .call, callID: 1), to: lead, lane: .control)
                await atServer.waitForFrames(2)
                #expect(atClient.events.count == 1)
            }
        }
    }

    /// Both lanes of a peer that is then killed, or that is there and says nothing any more, as if
    /// its cable was cut: it does not even answer pings.
    @Test(arguments: [true, false])
    func aDeadPeerIsNoticed(isKilled: Bool) async throws {
        let cluster = try TCPTestCluster()
        let path = try cluster.identityPath(.worker, "eve")
        let eve = NodeID(role: .worker, name: "eve")
        var configuration = TCPConfiguration()
        if !isKilled { configuration.idleTimeout = .seconds(1) }
        try await cluster.withNode(.coordinator, "lead", configuration: configuration) {
            server, atServer in
            async let control = OpenSSL.connect(
                port: server.address.port, TLSTests.alpn + ["-cert", path, "-key", path],
                input: hello(cluster, "eve"), seconds: isKilled ? 1 : 20, isKilled: isKilled)
            async let bulk = OpenSSL.connect(
                port: server.address.port,
                ["-alpn", "martlet-bulk/1", "-cert", path, "-key", path],
                input: hello(cluster, "eve", lane: .bulk))
            await atServer.waitForConnection(of: eve)
            await atServer.waitForLoss(of: eve)
            _ = try await (control, bulk)
            guard case .lost(_, let reason)? = atServer.events.last else { return }
            #expect(reason.contains(isKilled ? "cut" : "silent"), "\(reason)")
            #expect(atServer.events.count == 2)
        }
    }

    /// Strangers who hold connections open without a word do not keep others out for long.
    @Test func handshakesInFlightAreLimited() async throws {
        let cluster = try TCPTestCluster()
        var configuration = TCPConfiguration()
        configuration.handshakesMax = 2
        configuration.handshakeTimeout = .seconds(4)
        try await cluster.withNode(.coordinator, "lead", configuration: configuration) {
            server, atServer in
            let begin = ContinuousClock.now
            let times = try await withThrowingTaskGroup(of: Duration.self) { group in
                for _ in 0..<6 {
                    group.addTask {
                        try await stranger(server.address.port).closeFuture.get()
                        return ContinuousClock.now - begin
                    }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            // Four at once, two after their time.
            #expect(times[4] - times[3] > .seconds(1), "\(times)")
            #expect(atServer.events.isEmpty)
            try await cluster.withNode(.worker, "anna", listens: false) { client, _ in
                _ = try await client.connect(to: server.address, role: .coordinator)
            }
        }
    }

    @Test func whatIsNoTLSIsRefused() async throws {
        let cluster = try TCPTestCluster()
        try await cluster.withNode(.coordinator, "lead") { server, atServer in
            let channel = try await stranger(server.address.port)
            try await channel.writeAndFlush(ByteBuffer(string: "GET / HTTP/1.1\r\n\r\n"))
            try await channel.closeFuture.get()
            #expect(atServer.events.isEmpty)
        }
    }

    /// A TCP connection without TLS.
    private func stranger(_ port: Int) async throws -> any Channel {
        try await ClientBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .connect(host: "127.0.0.1", port: port).get()
    }

    /// The other way round: our side dials a server that is not one of ours.
    @Test(arguments: [["-tls1_2"], ["-tls1_3"]])
    func aForeignServerIsRefused(version: [String]) async throws {
        let (cluster, other) = (try TCPTestCluster(), try TCPTestCluster())
        let path = try (version == ["-tls1_2"] ? cluster : other).identityPath(.coordinator, "fake")
        try await cluster.withNode(.worker, "anna", listens: false) { client, atClient in
            for port in 0..<5 {
                let port = 20_000 + Int.random(in: 0..<20_000) + port
                async let server = OpenSSL.run(
                    ["s_server", "-accept", "127.0.0.1:\(port)", "-naccept", "1", "-quiet"]
                        + version + ["-cert", path, "-key", path, "-alpn", "martlet-control/1"])
                let error = try await dialUntilReachable(client, port)
                _ = try await server
                guard let error else { continue }
                #expect(error.code == .refused, "\(error)")
                #expect(atClient.events.isEmpty)
                return
            }
            Issue.record("no free port found")
        }
    }

    /// What dialing the server says once it is up; nil if it does not come up.
    private func dialUntilReachable(
        _ client: TCPTransport, _ port: Int
    ) async throws -> ClusterError? {
        for _ in 0..<100 {
            do {
                _ = try await client.connect(
                    to: Address(host: "127.0.0.1", port: port), role: .coordinator)
                Issue.record("connected to a foreign server")
            } catch let error as ClusterError where error.code != .unreachable {
                return error
            } catch {}
            try await Task.sleep(for: .milliseconds(50))
        }
        return nil
    }
}
