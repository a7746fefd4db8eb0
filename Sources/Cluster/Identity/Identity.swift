internal import Crypto
package import FoundationEssentials
internal import SwiftASN1
internal import X509

/// Who this process is: a private key, the certificate that says its role and name, and the
/// authority that signed it.
///
/// Read from one file, made by ``CertificateAuthority/issue``.
package struct Identity: Sendable {
    package let node: NodeID
    /// The cluster that the authority stands for.
    package let cluster: String
    /// When the certificate ends.
    package let expiry: Date

    let keyPEM: String
    let certificateDER: [UInt8]
    let authorityDER: [UInt8]

    /// Reads and checks the identity file at `path`, as it holds at time `now`.
    ///
    /// Throws ``ClusterError/Code/identity`` that says which of its parts is missing or wrong.
    package static func load(_ path: String, at now: Date) throws(ClusterError) -> Identity {
        let text = try IdentityFile.text(of: path)
        do throws(IdentityFlaw) {
            return try Identity(pem: text, at: now)
        } catch {
            throw ClusterError(
                .identity, "\(path) is not a usable identity: \(error.message)", cause: error.cause)
        }
    }

    private init(pem text: String, at now: Date) throws(IdentityFlaw) {
        let documents: [PEMDocument]
        do {
            documents = try PEMDocument.parseMultiple(pemString: text)
        } catch {
            throw IdentityFlaw("it is not PEM", cause: error)
        }
        guard !documents.isEmpty else { throw IdentityFlaw("it is not PEM") }
        guard let keyDocument = documents.first(where: { $0.discriminator == "PRIVATE KEY" }) else {
            throw IdentityFlaw("it has no private key")
        }
        let certificates = documents.filter { $0.discriminator == "CERTIFICATE" }
        guard certificates.count == 2 else {
            throw IdentityFlaw(
                "expected the node's and the authority's certificate, found \(certificates.count)")
        }
        let key: P256.Signing.PrivateKey
        let (own, authority): (Certificate, Certificate)
        do {
            key = try P256.Signing.PrivateKey(pemRepresentation: keyDocument.pemString)
            own = try Certificate(pemDocument: certificates[0])
            authority = try Certificate(pemDocument: certificates[1])
        } catch {
            throw IdentityFlaw("its key or a certificate does not parse", cause: error)
        }
        guard own.publicKey == Certificate.PublicKey(key.publicKey) else {
            throw IdentityFlaw("the key does not belong to the certificate")
        }
        guard authority.publicKey.isValidSignature(own.signature, for: own) else {
            throw IdentityFlaw("the certificate was not signed by the authority beside it")
        }
        let (cluster, node) = try Identity.read(own)
        guard authority.clusterID == cluster else {
            throw IdentityFlaw("its authority is not that of cluster \(cluster)")
        }
        try Identity.checkValidity(of: own, at: now)
        self.node = node
        self.cluster = cluster
        expiry = own.notValidAfter
        keyPEM = keyDocument.pemString
        certificateDER = certificates[0].derBytes
        authorityDER = certificates[1].derBytes
    }

    /// The cluster, role and name that a certificate states.
    ///
    /// Whether to believe it is not asked here.
    static func read(
        _ certificate: Certificate
    ) throws(IdentityFlaw) -> (cluster: String, node: NodeID) {
        let uris = certificate.uris
        guard uris.count == 1, let (cluster, node) = NodeName.parse(uris[0]) else {
            throw IdentityFlaw(
                "the certificate states no role: expected one spiffe://CLUSTER/ROLE/NAME, found "
                    + (uris.isEmpty ? "none" : uris.joined(separator: ", ")))
        }
        return (cluster, node)
    }

    private static func checkValidity(
        of certificate: Certificate, at now: Date
    ) throws(IdentityFlaw) {
        let (start, end) = (certificate.notValidBefore, certificate.notValidAfter)
        guard now >= start else {
            throw IdentityFlaw(
                "the certificate is not valid before \(start.formatted(.iso8601)); "
                    + "is the clock right?")
        }
        guard now <= end else {
            throw IdentityFlaw(
                "the certificate expired at \(end.formatted(.iso8601)); issue a new one")
        }
    }
}

/// What is wrong with an identity, before it is known where it was read.
struct IdentityFlaw: Error {
    let message: String
    let cause: (any Error)?

    init(_ message: String, cause: (any Error)? = nil) {
        self.message = message
        self.cause = cause
    }
}

extension Certificate {
    /// The URIs among the subject's names; none if they do not parse.
    var uris: [String] {
        guard let names = try? extensions.subjectAlternativeNames else { return [] }
        return names.compactMap { name in
            if case .uniformResourceIdentifier(let uri) = name { uri } else { nil }
        }
    }

    /// The cluster whose authority this is, or nil if it is none.
    var clusterID: String? {
        uris.count == 1 ? NodeName.parseCluster(uris[0]) : nil
    }
}
