package import Wire

/// What an operator may ask of a run.
package enum StatusCommand: Sendable, Equatable {
    /// End the open round, write a checkpoint, finish.
    case stop
    /// Write a checkpoint of the next version.
    case checkpoint
    /// Let one worker leave after its open round.
    case drain(worker: String)

    /// Path of the request.
    package var path: String {
        switch self {
        case .stop: "/v1/stop"
        case .checkpoint: "/v1/checkpoint"
        case .drain(let worker): "/v1/drain/\(worker)"
        }
    }
}

/// All that the status server knows of a run.
package struct StatusSource: Sendable {
    /// The state of the run now.
    ///
    /// Called several times a second per follower, so it must be cheap.
    package var snapshot: @Sendable () async -> Martlet_V1_RunStatus
    /// Carries out a command and says on one line what happens now.
    ///
    /// Throws `StatusError` with `.refused` if it declines.
    package var perform: @Sendable (StatusCommand) async throws -> String
    /// Waits.
    ///
    /// The clock is the caller's, so that tests need not wait long.
    package var pause: @Sendable (Duration) async throws -> Void

    package init(
        snapshot: @escaping @Sendable () async -> Martlet_V1_RunStatus,
        perform: @escaping @Sendable (StatusCommand) async throws -> String,
        pause: @escaping @Sendable (Duration) async throws -> Void
    ) {
        self.snapshot = snapshot
        self.perform = perform
        self.pause = pause
    }
}

extension Martlet_V1_RunStatus.State {
    /// Whether nothing more will happen.
    package var isFinal: Bool { self == .finished || self == .failed }
}
