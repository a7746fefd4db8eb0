internal import NIOCore
internal import NIOSSL
internal import SwiftASN1
internal import X509

/// The one home of TLS: version 1.3 only, certificates on both sides, the cluster's authority as
/// the only root.
///
/// BoringSSL checks chain, dates and purpose. What it can't know, that the certificate states this
/// cluster and a role, is checked when the handshake is over and before a byte is read.
struct TLS: Sendable {
    private let cluster: String
    private let server: NIOSSLContext
    private let clients: [Lane: NIOSSLContext]

    init(_ identity: Identity) throws(ClusterError) {
        cluster = identity.cluster
        do {
            let all = Lane.allCases
            server = try TLS.context(identity, all, isServer: true)
            clients = Dictionary(
                uniqueKeysWithValues: try all.map {
                    ($0, try TLS.context(identity, [$0], isServer: false))
                })
        } catch {
            throw ClusterError(.identity, "TLS does not take this identity", cause: error)
        }
    }

    private static func context(
        _ identity: Identity, _ lanes: [Lane], isServer: Bool
    ) throws -> NIOSSLContext {
        let certificate = try NIOSSLCertificate(bytes: identity.certificateDER, format: .der)
        let root = try NIOSSLCertificate(bytes: identity.authorityDER, format: .der)
        let key = try NIOSSLPrivateKey(bytes: Array(identity.keyPEM.utf8), format: .pem)
        var configuration =
            isServer
            ? TLSConfiguration.makeServerConfiguration(
                certificateChain: [.certificate(certificate)], privateKey: .privateKey(key))
            : TLSConfiguration.makeClientConfiguration()
        configuration.certificateChain = [.certificate(certificate)]
        configuration.privateKey = .privateKey(key)
        configuration.minimumTLSVersion = .tlsv13
        configuration.trustRoots = .certificates([root])
        // Nodes are known by role and name, not by host; on a server this also demands
        // certificates.
        configuration.certificateVerification = .noHostnameVerification
        configuration.applicationProtocols = lanes.map(\.applicationProtocol)
        return try NIOSSLContext(configuration: configuration)
    }

    func serverHandler() -> NIOSSLServerHandler { NIOSSLServerHandler(context: server) }

    func clientHandler(_ lane: Lane) throws -> NIOSSLClientHandler {
        guard let context = clients[lane] else { preconditionFailure("every lane has a context") }
        return try NIOSSLClientHandler(context: context, serverHostname: nil)
    }

    /// Who is on the other side of a channel whose handshake is over.
    func peer(of context: ChannelHandlerContext) throws(IdentityFlaw) -> NodeID {
        let certificate: Certificate
        do {
            let handler = try context.pipeline.syncOperations.handler(type: NIOSSLHandler.self)
            guard let found = handler.peerCertificate else {
                throw IdentityFlaw("it has no certificate")
            }
            certificate = try Certificate(derEncoded: found.toDERBytes())
        } catch let flaw as IdentityFlaw {
            throw flaw
        } catch {
            throw IdentityFlaw("its certificate does not parse", cause: error)
        }
        let (cluster, node) = try Identity.read(certificate)
        guard cluster == self.cluster else {
            throw IdentityFlaw("it is of cluster \(cluster), not \(self.cluster)")
        }
        return node
    }
}

extension TLS {
    /// What the library's error means for whoever reads the log.
    static func explain(_ error: any Error) -> String {
        let text = String(describing: error)
        let known = meanings.first { text.contains($0.sign) }
        return known.map(\.meaning) ?? text
    }

    private static let meanings: [(sign: String, meaning: String)] = [
        ("PEER_DID_NOT_RETURN_A_CERTIFICATE", "it showed no certificate"),
        (
            "CERTIFICATE_VERIFY_FAILED",
            "its certificate is not of this cluster's authority, or not valid at this time"
        ),
        ("UNSUPPORTED_PROTOCOL", "it does not speak TLS 1.3"),
        ("WRONG_VERSION_NUMBER", "it does not speak TLS"),
        ("HTTP_REQUEST", "it speaks HTTP, not TLS"),
        ("ALERT_UNKNOWN_CA", "it belongs to another cluster: it does not know our authority"),
        ("ALERT_CERTIFICATE_EXPIRED", "it finds our certificate expired"),
        ("ALERT_CERTIFICATE_REQUIRED", "it wants a certificate"),
        ("ALERT_PROTOCOL_VERSION", "it does not speak TLS 1.3"),
        ("ALERT_BAD_CERTIFICATE", "it does not accept our certificate"),
        ("ALERT_CERTIFICATE_UNKNOWN", "it does not accept our certificate"),
        ("uncleanShutdown", "it was cut without a goodbye"),
        ("eofDuringHandshake", "it closed the connection"),
        ("tcp shutdown", "it was cut without a goodbye"),
        ("reset by peer", "it was cut without a goodbye"),
    ]
}
