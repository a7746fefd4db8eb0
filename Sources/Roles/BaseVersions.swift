internal import Tensors

/// Versions of a module that workers train from where there are no rounds: an update that tells
/// only where it ends means something together with where it began.
struct BaseVersions: Sendable {
    private struct Base: Sendable {
        let parameters: FloatBuffer
        /// Workers that were handed it and may still push from it.
        var holders: Set<String>
    }

    private var bases: [UInt64: Base] = [:]

    /// What workers have of `version`, [n], if a worker may hold them.
    func parameters(of version: UInt64) -> FloatBuffer? { bases[version]?.parameters }

    /// Keeps what `worker` is handed.
    mutating func handOut(_ version: ModuleVersion, to worker: String) {
        bases[
            version.version, default: Base(parameters: version.shadow, holders: [])
        ].holders.insert(worker)
    }

    /// Lets go of what is older than `base`, from which `worker` has just pushed; it pulls anew.
    mutating func release(through base: UInt64, by worker: String) {
        for version in bases.keys.sorted() where version <= base {
            bases[version]?.holders.remove(worker)
            if bases[version]?.holders.isEmpty == true { bases[version] = nil }
        }
    }

    /// Lets go of all versions below `oldest`: a push from there is stale.
    mutating func release(below oldest: UInt64) {
        for version in bases.keys.sorted() where version < oldest { bases[version] = nil }
    }
}
