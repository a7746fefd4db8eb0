import Cluster
import Foundation
import Testing

@Suite struct IdentityTests {
    @Test func anIssuedIdentityLoads() throws {
        let cluster = try TCPTestCluster()
        let path = try cluster.authority.issue(.worker, "anna", at: Date())
        #expect(path == "\(cluster.folder)/anna.identity.pem")
        let identity = try Identity.load(path, at: Date())
        #expect(identity.node == NodeID(role: .worker, name: "anna"))
        #expect(identity.cluster == cluster.authority.cluster)
        #expect(identity.cluster.count == 32)
        #expect(identity.expiry > Date() + 9 * 365 * 86_400)
    }

    @Test func keysAreForTheirOwnerOnly() throws {
        let cluster = try TCPTestCluster()
        let path = try cluster.authority.issue(.shard, "s1", at: Date())
        for file in [path, "\(cluster.folder)/ca.key"] {
            let attributes = try FileManager.default.attributesOfItem(atPath: file)
            #expect(attributes[.posixPermissions] as? Int == 0o600, "\(file)")
        }
    }

    @Test func anAuthorityIsOpenedAgain() throws {
        let cluster = try TCPTestCluster()
        let again = try CertificateAuthority.open(cluster.folder)
        #expect(again.cluster == cluster.authority.cluster)
        let path = try again.issue(.operator, "ann", at: Date())
        #expect(try Identity.load(path, at: Date()).cluster == again.cluster)
    }

    @Test func nothingIsOverwritten() throws {
        let cluster = try TCPTestCluster()
        let files = try FileManager.default.contentsOfDirectory(atPath: cluster.folder).sorted()
        #expect(files == ["ca.crt", "ca.key"])
        let again = #expect(throws: ClusterError.self) {
            try CertificateAuthority.create(in: cluster.folder, at: Date())
        }
        #expect(again?.message.contains("ca.key exists already") == true)
        let path = try cluster.authority.issue(.worker, "anna", at: Date())
        let before = try Data(contentsOf: URL(filePath: path))
        #expect(throws: ClusterError.self) {
            try cluster.authority.issue(.worker, "anna", at: Date())
        }
        #expect(try Data(contentsOf: URL(filePath: path)) == before)
    }

    @Test(arguments: [
        "", "-a", "A", "a_b", "a/b", "a b", "..", "ä", String(repeating: "a", count: 64),
    ])
    func badNamesAreRefused(name: String) throws {
        let cluster = try TCPTestCluster()
        let error = #expect(throws: ClusterError.self) {
            try cluster.authority.issue(.worker, name, at: Date())
        }
        #expect(error?.code == .identity)
        #expect(error?.message.contains("'\(name)'") == true)
    }

    @Test(arguments: ["a", "0", "a-b-9", String(repeating: "z", count: 63)])
    func goodNamesAreTaken(name: String) throws {
        let cluster = try TCPTestCluster()
        let path = try cluster.authority.issue(.worker, name, at: Date())
        #expect(try Identity.load(path, at: Date()).node.name == name)
    }

    @Test func certificatesHoldForTheirTime() throws {
        let cluster = try TCPTestCluster()
        let path = try cluster.authority.issue(
            .worker, "anna", at: Date(), validFor: .seconds(3600))
        let late = #expect(throws: ClusterError.self) {
            try Identity.load(path, at: Date() + 3700)
        }
        #expect(late?.message.contains("expired at") == true)
        let early = #expect(throws: ClusterError.self) {
            try Identity.load(path, at: Date() - 3600)
        }
        #expect(early?.message.contains("not valid before") == true)
        #expect(throws: Never.self) { try Identity.load(path, at: Date() - 300) }
    }

    @Test func whatIsWrongWithAFileIsSaid() throws {
        let cluster = try TCPTestCluster()
        let other = try TCPTestCluster()
        func parts(_ path: String) throws -> (key: String, own: String, authority: String) {
            let text = try String(contentsOf: URL(filePath: path), encoding: .utf8)
            let end = "-----END CERTIFICATE-----\n"
            let pieces = text.components(separatedBy: end)
            let key = pieces[0].components(separatedBy: "-----BEGIN CERTIFICATE")[0]
            return (key, String(pieces[0].dropFirst(key.count)) + end, pieces[1] + end)
        }
        let mine = try parts(cluster.authority.issue(.worker, "anna", at: Date()))
        let hers = try parts(other.authority.issue(.worker, "zoe", at: Date()))
        let cases: [(String, String)] = [
            ("", "not PEM"), ("hello\n", "not PEM"),
            (String(repeating: "x", count: 70_000), "bytes"),
            (mine.own + mine.authority, "no private key"), (mine.key, "found 0"),
            (mine.key + mine.own, "found 1"),
            (hers.key + mine.own + mine.authority, "does not belong"),
            (mine.key + mine.own + hers.authority, "not signed by"),
            (mine.key + mine.authority + mine.own, "does not belong"),
            (
                mine.key.replacingOccurrences(of: "a", with: "b") + mine.own + mine.authority,
                "does not"
            ),
        ]
        for (index, (text, expected)) in cases.enumerated() {
            let path = "\(cluster.folder)/case\(index).pem"
            try text.write(toFile: path, atomically: false, encoding: .utf8)
            let error = #expect(throws: ClusterError.self) { try Identity.load(path, at: Date()) }
            #expect(error?.code == .identity)
            let message = "\(error?.description ?? "")"
            #expect(message.contains(expected) && message.contains(path), "\(message)")
        }
        let missing = #expect(throws: ClusterError.self) {
            try Identity.load("\(cluster.folder)/none.pem", at: Date())
        }
        #expect(missing?.message.hasSuffix("none.pem does not exist") == true)
        let folder = #expect(throws: ClusterError.self) {
            try Identity.load(cluster.folder, at: Date())
        }
        #expect(folder?.message.contains("can't read") == true)
    }
}
