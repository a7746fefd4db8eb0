import Cluster
import FoundationEssentials

/// The certificate authority of a cluster, with the time of this machine.
enum Authority {
    /// Makes an authority in `folder`.
    static func create(in folder: String) throws {
        do {
            _ = try CertificateAuthority.create(in: folder, at: Date())
        } catch {
            throw CommandError(.cannotCreate, error.description.onOneLine)
        }
    }

    /// Issues an identity file for one process, in `folder`.
    ///
    /// Returns its path.
    static func issue(
        _ role: Role, name: String, from ca: String, into folder: String
    ) throws -> String {
        let authority: CertificateAuthority
        do {
            authority = try CertificateAuthority.open(ca)
        } catch {
            throw CommandError(.missingInput, error.description.onOneLine)
        }
        do {
            return try authority.issue(role, name, at: Date(), output: folder)
        } catch {
            throw CommandError(.cannotCreate, error.description.onOneLine)
        }
    }
}
