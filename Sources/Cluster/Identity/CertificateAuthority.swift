internal import Crypto
package import FoundationEssentials
internal import SwiftASN1
internal import X509

/// A cluster's own certificate authority: a folder with `ca.crt` and `ca.key`.
///
/// Its P-256 key is the cluster: the cluster's id is the key's digest. Whoever can read `ca.key`
/// can make any node; nodes themselves only ever get the certificate.
package struct CertificateAuthority: Sendable {
    /// How long certificates hold unless told otherwise: ten years.
    package static let validity: Duration = .seconds(10 * 365 * 86_400)
    /// Clocks of machines may differ by this much: certificates hold from that long before.
    package static let clockSkew: Duration = .seconds(600)

    /// The cluster's id: 32 hexadecimal digits.
    package let cluster: String
    private let folder: String
    private let key: P256.Signing.PrivateKey
    private let certificate: Certificate

    /// Makes a new cluster's authority in `folder`, which is created if need be and must not hold
    /// one.
    package static func create(
        in folder: String, at now: Date, validFor validity: Duration = validity
    ) throws(ClusterError) -> CertificateAuthority {
        try IdentityFile.createFolder(folder)
        for path in [keyPath(folder), certificatePath(folder)] where IdentityFile.exists(path) {
            throw ClusterError(
                .identity, "\(path) exists already: \(folder) holds an authority, which is kept")
        }
        let key = P256.Signing.PrivateKey()
        let cluster = clusterID(of: key.publicKey)
        let certificate: Certificate
        do {
            let subject = try DistinguishedName { CommonName("Martlet cluster \(cluster)") }
            certificate = try Certificate(
                version: .v3, serialNumber: Certificate.SerialNumber(),
                publicKey: Certificate.PublicKey(key.publicKey),
                notValidBefore: now.advanced(by: clockSkew * -1),
                notValidAfter: now.advanced(by: validity), issuer: subject, subject: subject,
                signatureAlgorithm: .ecdsaWithSHA256,
                extensions: try Certificate.Extensions {
                    Critical(BasicConstraints.isCertificateAuthority(maxPathLength: 0))
                    Critical(KeyUsage(keyCertSign: true, cRLSign: true))
                    SubjectKeyIdentifier(hash: Certificate.PublicKey(key.publicKey))
                    SubjectAlternativeNames([
                        .uniformResourceIdentifier(NodeName.uri(cluster: cluster))
                    ])
                },
                issuerPrivateKey: Certificate.PrivateKey(key))
        } catch {
            throw ClusterError(.identity, "can't make an authority's certificate", cause: error)
        }
        try IdentityFile.create(keyPath(folder), key.pemRepresentation + "\n", mode: 0o600)
        try IdentityFile.create(certificatePath(folder), try certificate.pem(), mode: 0o644)
        return CertificateAuthority(
            cluster: cluster, folder: folder, key: key, certificate: certificate)
    }

    /// The authority that ``create(in:at:validFor:)`` made in `folder`.
    package static func open(_ folder: String) throws(ClusterError) -> CertificateAuthority {
        let (keyPath, certificatePath) = (keyPath(folder), certificatePath(folder))
        let keyText = try IdentityFile.text(of: keyPath)
        let certificateText = try IdentityFile.text(of: certificatePath)
        guard let key = try? P256.Signing.PrivateKey(pemRepresentation: keyText) else {
            throw ClusterError(.identity, "\(keyPath) is not a P-256 private key in PEM")
        }
        guard let certificate = try? Certificate(pemEncoded: certificateText),
            let cluster = certificate.clusterID
        else {
            throw ClusterError(.identity, "\(certificatePath) is not an authority's certificate")
        }
        guard certificate.publicKey == Certificate.PublicKey(key.publicKey) else {
            throw ClusterError(.identity, "\(keyPath) is not the key of \(certificatePath)")
        }
        return CertificateAuthority(
            cluster: cluster, folder: folder, key: key, certificate: certificate)
    }

    /// Makes an identity for the node `role`/`name` and writes it to `NAME.identity.pem` in the
    /// authority's folder, or in `output`.
    ///
    /// Returns the file's path.
    package func issue(
        _ role: Role, _ name: String, at now: Date,
        validFor validity: Duration = CertificateAuthority.validity, output: String? = nil
    ) throws(ClusterError) -> String {
        try NodeName.check(name)
        let node = NodeID(role: role, name: name)
        let key = P256.Signing.PrivateKey()
        let text: String
        do {
            let own = try makeCertificate(
                of: node, key.publicKey,
                from: now.advanced(by: CertificateAuthority.clockSkew * -1),
                to: min(now.advanced(by: validity), certificate.notValidAfter))
            text = key.pemRepresentation + "\n" + (try own.pem()) + (try certificate.pem())
        } catch {
            throw ClusterError(.identity, "can't make a certificate for \(node)", cause: error)
        }
        let path = "\(output ?? folder)/\(name).identity.pem"
        try IdentityFile.create(path, text, mode: 0o600)
        return path
    }

    private func makeCertificate(
        of node: NodeID, _ publicKey: P256.Signing.PublicKey, from start: Date, to end: Date
    ) throws -> Certificate {
        try Certificate(
            version: .v3, serialNumber: Certificate.SerialNumber(),
            publicKey: Certificate.PublicKey(publicKey), notValidBefore: min(start, end),
            notValidAfter: end, issuer: certificate.subject,
            subject: try DistinguishedName { CommonName("\(node)") },
            signatureAlgorithm: .ecdsaWithSHA256,
            extensions: try Certificate.Extensions {
                Critical(BasicConstraints.notCertificateAuthority)
                Critical(KeyUsage(digitalSignature: true))
                try ExtendedKeyUsage([.serverAuth, .clientAuth])
                AuthorityKeyIdentifier(
                    keyIdentifier: try certificate.extensions.subjectKeyIdentifier?.keyIdentifier)
                SubjectAlternativeNames([
                    .uniformResourceIdentifier(NodeName.uri(cluster: cluster, node: node))
                ])
            },
            issuerPrivateKey: Certificate.PrivateKey(key))
    }

    private static func keyPath(_ folder: String) -> String { "\(folder)/ca.key" }
    private static func certificatePath(_ folder: String) -> String { "\(folder)/ca.crt" }

    private static func clusterID(of key: P256.Signing.PublicKey) -> String {
        SHA256.hash(data: key.x963Representation).prefix(16)
            .map { byte in
                let digits = String(byte, radix: 16)
                return digits.count == 1 ? "0" + digits : digits
            }
            .joined()
    }
}

extension Certificate {
    fileprivate func pem() throws(ClusterError) -> String {
        do {
            return try serializeAsPEM().pemString + "\n"
        } catch {
            throw ClusterError(.identity, "can't write a certificate", cause: error)
        }
    }
}

extension Date {
    fileprivate func advanced(by duration: Duration) -> Date {
        addingTimeInterval(duration / .seconds(1))
    }
}
