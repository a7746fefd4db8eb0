import FoundationEssentials
import Hummingbird
package import Logging
import NIOCore
import NIOPosix

/// Serves a run's status over HTTP on a Unix socket that only its owner may open.
///
/// `GET /v1/status`, `/v1/events`, `/metrics`, `/livez`, `/readyz`;
/// `POST /v1/stop`, `/v1/checkpoint`, `/v1/drain/NAME`.
package struct StatusServer: Sendable {
    /// Bytes of a socket's path that Linux has room for.
    package static let pathBytesMax = 107
    /// Connections served at a time; more wait.
    package static let connectionsMax = 64

    private let path: String
    private let source: StatusSource
    private let logger: Logger

    package init(path: String, source: StatusSource, logger: Logger) {
        self.path = path
        self.source = source
        self.logger = logger
    }

    /// Serves until the task is cancelled or shut down gracefully, then the socket is gone.
    ///
    /// - Parameter whenReady: called once the socket answers.
    /// - Throws: `StatusError` with `.address` if the socket cannot be made. A socket file on which
    ///   nobody answers is replaced; any other file is left alone.
    package func run(whenReady: @escaping @Sendable () async -> Void = {}) async throws {
        try await claim()
        let path = path
        var quiet = logger
        quiet.logLevel = .critical
        let application = Application(
            responder: StatusResponder(source: source),
            configuration: ApplicationConfiguration(
                address: .unixDomainSocket(path: path), serverName: "martlet",
                availableConnectionsDelegate: .maximum(Self.connectionsMax, logger: quiet)),
            onServerRunning: { _ in
                // Nobody else could connect before either: the usual umask withholds writing.
                try? FileManager.default.setAttributes(
                    [.posixPermissions: 0o600], ofItemAtPath: path)
                await whenReady()
            },
            logger: quiet)
        do {
            try await application.run()
        } catch is CancellationError {
        } catch let error as IOError {
            throw StatusError(
                .address, "cannot listen on \(path): \(error.description)", cause: error)
        }
    }

    /// Makes sure that the path is free, or holds a socket that nobody answers on.
    private func claim() async throws {
        guard path.utf8.count <= Self.pathBytesMax else {
            throw StatusError(
                .address,
                "the socket path \(path) has \(path.utf8.count) bytes; "
                    + "at most \(Self.pathBytesMax) are possible, choose a shorter one")
        }
        guard let attributes = try? FileManager.default.attributesOfItem(atPath: path) else {
            return
        }
        guard attributes[.type] as? FileAttributeType == .typeSocket else {
            throw StatusError(.address, "\(path) exists and is not a socket; remove it first")
        }
        do {
            let group = MultiThreadedEventLoopGroup.singleton
            let channel = try await ClientBootstrap(group: group)
                .connect(unixDomainSocketPath: path).get()
            try? await channel.close()
        } catch {
            return
        }
        throw StatusError(
            .address, "another run answers at \(path); stop it, or choose another socket")
    }
}
