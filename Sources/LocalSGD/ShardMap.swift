/// Which shard server holds which module.
///
/// A module is never split.
package struct ShardMap: Sendable, Equatable {
    /// Names of the shard servers, ascending.
    package let shards: [String]
    /// For each module, an index into `shards`.
    package let owners: [Int]

    package init(shards: [String], owners: [Int]) {
        self.shards = shards
        self.owners = owners
    }

    /// Spreads modules of the given sizes: the largest first, each to the server with the least so
    /// far.
    ///
    /// Ties go to the lower index, so the same input gives the same map.
    package init(placing sizes: [Int], on shards: [String]) {
        precondition(!shards.isEmpty, "a shard map needs a shard server")
        let sorted = shards.sorted()
        var load = [Int](repeating: 0, count: sorted.count)
        var owners = [Int](repeating: 0, count: sizes.count)
        for module in sizes.indices.sorted(by: { (-sizes[$0], $0) < (-sizes[$1], $1) }) {
            var best = 0
            for candidate in load.indices where load[candidate] < load[best] { best = candidate }
            owners[module] = best
            load[best] += sizes[module]
        }
        self.init(shards: sorted, owners: owners)
    }

    /// Name of the server that holds `module`.
    package func owner(of module: Int) -> String { shards[owners[module]] }

    /// The modules of one server, ascending.
    package func modules(of shard: String) -> [Int] {
        owners.indices.filter { shards[owners[$0]] == shard }
    }
}
