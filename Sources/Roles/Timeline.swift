internal import Cluster

/// What a worker did from when to when, by its clock.
package struct Span: Sendable, Equatable {
    /// What takes a worker's time, by the names that a time line shows.
    package enum Activity: String, CaseIterable, Sendable {
        // Training.
        case warmupStep = "warm-up step"
        case step
        /// A step of the next round, taken before its plan is there.
        case stepAhead = "step ahead"
        // Out.
        case closeRound = "close round"
        case norms
        case encode
        /// From the first byte of a module's update to what became of it.
        case push
        // In.
        /// From the question for a module's version to the last byte of the reply.
        case pull
        /// Decoding what was pulled, and putting it in place.
        case adopt
        // The coordinator.
        case join
        case ask
        /// Waiting for tokens that had not been fetched ahead.
        case fetch
        /// Waiting so that others push at about the same time.
        case grace
        case rest
        case evaluate
        case save
    }

    package var activity: Activity
    /// Nothing before the first plan.
    package var round: Int?
    package var module: Int?
    /// Inner steps that the update is made of; only where a round is closed.
    package var steps: Int?
    package var began: Duration
    package var ended: Duration

    package init(
        _ activity: Activity, round: Int? = nil, module: Int? = nil, steps: Int? = nil,
        began: Duration, ended: Duration
    ) {
        self.activity = activity
        self.round = round
        self.module = module
        self.steps = steps
        self.began = began
        self.ended = ended
    }
}

extension Worker {
    /// Does `body`, and tells the time line, if there is one, how long that took, failed or not.
    ///
    /// It belongs to the round under way unless another is named.
    func timed<Value>(
        _ activity: Span.Activity, round: Int? = nil, module: Int? = nil, steps: Int? = nil,
        _ body: () async throws -> Value
    ) async rethrows -> Value {
        let began = environment.clock.now
        defer { note(activity, round: round, module: module, steps: steps, since: began) }
        return try await body()
    }

    /// Tells the time line, if there is one, of what has just ended.
    func note(
        _ activity: Span.Activity, round: Int? = nil, module: Int? = nil, steps: Int? = nil,
        since began: Duration
    ) {
        guard let timeline = environment.timeline else { return }
        let known = round ?? (underWay.round >= 0 ? underWay.round : nil)
        timeline(
            Span(
                activity, round: known, module: module, steps: steps, began: began,
                ended: environment.clock.now))
    }
}
