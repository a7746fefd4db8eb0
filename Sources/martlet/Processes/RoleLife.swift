import Cluster

/// The life of a process with one role: serves calls until its role is done, or it is told to end.
enum RoleLife {
    /// Returns why it ended.
    ///
    /// `onStop` is called at the first request to stop and may end the role in order; the second
    /// request, or the end of the lifeline, ends it at once.
    static func run(
        _ system: ClusterSystem, until stops: AsyncStream<StopRequest>,
        onStop: (@Sendable () async -> Void)? = nil,
        role: @escaping @Sendable () async throws -> String
    ) async throws -> String {
        try await withThrowingTaskGroup(of: String?.self) { group in
            group.addTask {
                try await system.run()
                return nil
            }
            group.addTask { try await role() }
            group.addTask {
                var isOrderly = onStop != nil
                for await request in stops {
                    guard isOrderly, request == .signal, let onStop else {
                        return "stopped by \(request)"
                    }
                    isOrderly = false
                    await onStop()
                }
                return nil
            }
            defer { group.cancelAll() }
            while let reason = try await group.next() {
                if let reason { return reason }
            }
            return "stopped"
        }
    }
}
