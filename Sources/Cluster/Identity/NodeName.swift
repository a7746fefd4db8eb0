/// Names as they stand in certificates: `spiffe://CLUSTER/ROLE/NAME`.
enum NodeName {
    /// Characters of a name, at most.
    static let lengthMax = 63

    /// Throws unless `name` is made of a-z, 0-9 and -, begins with none of the latter, and is
    /// short: fit for a file name, a log and a URI.
    static func check(_ name: String) throws(ClusterError) {
        let bytes = name.utf8
        let isValid =
            (1...lengthMax).contains(bytes.count) && bytes.first != UInt8(ascii: "-")
            && bytes.allSatisfy { byte in
                (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
                    || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
                    || byte == UInt8(ascii: "-")
            }
        guard isValid else {
            throw ClusterError(
                .identity,
                "a node's name is 1 to \(lengthMax) characters of a-z, 0-9 and - and does not "
                    + "begin with -; found '\(name)'")
        }
    }

    static func uri(cluster: String, node: NodeID) -> String {
        "spiffe://\(cluster)/\(node.role.rawValue)/\(node.name)"
    }

    static func uri(cluster: String) -> String { "spiffe://\(cluster)" }

    /// The parts of a node's URI, or nil if it is none.
    static func parse(_ uri: String) -> (cluster: String, node: NodeID)? {
        let parts = uri.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 5, parts[0] == "spiffe:", parts[1].isEmpty, isCluster(parts[2]),
            let role = Role(rawValue: parts[3]), (try? check(parts[4])) != nil
        else { return nil }
        return (parts[2], NodeID(role: role, name: parts[4]))
    }

    /// The cluster of an authority's URI, or nil if it is none.
    static func parseCluster(_ uri: String) -> String? {
        let parts = uri.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 3, parts[0] == "spiffe:", parts[1].isEmpty, isCluster(parts[2])
        else { return nil }
        return parts[2]
    }

    private static func isCluster(_ id: String) -> Bool { (try? check(id)) != nil }
}
