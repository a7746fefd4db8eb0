/// Calls that are being served, by peer: none may take all tasks, or all memory.
struct ServedCalls: Sendable {
    struct Load: Sendable, Equatable {
        var calls = 0
        /// Of their arguments, as they came.
        var bytes = 0
    }

    /// Calls of one peer that are served at once; more are turned away.
    static let callsMax = 256
    /// Bytes of their arguments; one call is always let in.
    ///
    /// Four modules of the size that a frame can have, as many as a worker pushes at once.
    static let bytesMax = 4 << 30

    private(set) var loads: [NodeID: Load] = [:]

    /// Lets in a call of `peer` with `bytes` of arguments, or says why not.
    mutating func admit(bytes: Int, from peer: NodeID) -> String? {
        var load = loads[peer] ?? Load()
        guard load.calls < Self.callsMax else { return "\(load.calls) calls of yours" }
        guard load.calls == 0 || bytes <= Self.bytesMax - load.bytes else {
            return "\(load.bytes) bytes of yours"
        }
        load.calls += 1
        load.bytes += bytes
        loads[peer] = load
        return nil
    }

    /// A call of `peer` that was let in with `bytes` has been answered.
    mutating func end(bytes: Int, from peer: NodeID) {
        guard var load = loads[peer] else { return }
        load.calls -= 1
        load.bytes -= bytes
        loads[peer] = load.calls > 0 ? load : nil
    }
}
