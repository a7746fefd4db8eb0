internal import Synchronization
internal import Wire

/// The calls this node waits for.
///
/// Each is answered exactly once: by a reply, by the loss of its peer, or by its caller giving up.
final class CallTable: Sendable {
    private struct Call {
        let peer: NodeID
        let continuation: CheckedContinuation<WirePayload, any Error>
    }

    private struct State {
        var next: UInt64 = 1
        var calls: [UInt64: Call] = [:]
        /// Calls given up before they were registered.
        var abandoned: Set<UInt64> = []
    }

    private let state = Mutex(State())

    /// Calls under way at once, at most.
    static let callsMax = 4096

    /// A fresh call id.
    func makeID() -> UInt64 {
        state.withLock { state in
            defer { state.next += 1 }
            return state.next
        }
    }

    /// Waits for the reply to call `id`, which `send` puts on its way.
    func reply(
        to id: UInt64, from peer: NodeID, send: @Sendable () throws -> Void
    ) async throws -> WirePayload {
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let refusal: ClusterError? = state.withLock { state in
                    if state.abandoned.remove(id) != nil {
                        return ClusterError(.cancelled, "the call was cancelled")
                    }
                    if state.calls.count >= CallTable.callsMax {
                        return ClusterError(
                            .overloaded, "\(CallTable.callsMax) calls are under way")
                    }
                    state.calls[id] = Call(peer: peer, continuation: continuation)
                    return nil
                }
                if let refusal { return continuation.resume(throwing: refusal) }
                do { try send() } catch { finish(id, with: .failure(error)) }
            }
        } onCancel: {
            let call = state.withLock { state -> Call? in
                if let call = state.calls.removeValue(forKey: id) { return call }
                state.abandoned.insert(id)
                return nil
            }
            call?.continuation.resume(
                throwing: ClusterError(.cancelled, "the call was cancelled"))
        }
    }

    /// Forgets a call that is over.
    func forget(_ id: UInt64) {
        state.withLock { _ = $0.abandoned.remove(id) }
    }

    /// Answers call `id`, if anyone still waits; only its own peer may.
    func finish(_ id: UInt64, from peer: NodeID? = nil, with result: Result<WirePayload, any Error>)
    {
        let call = state.withLock { state -> Call? in
            if let peer, state.calls[id]?.peer != peer { return nil }
            return state.calls.removeValue(forKey: id)
        }
        call?.continuation.resume(with: result)
    }

    /// Fails every call to `peer`, in the order they were made.
    func fail(callsTo peer: NodeID, with error: ClusterError) {
        let failed = state.withLock { state in
            let ids = state.calls.filter { $0.value.peer == peer }.keys.sorted()
            return ids.compactMap { state.calls.removeValue(forKey: $0) }
        }
        for call in failed { call.continuation.resume(throwing: error) }
    }
}
