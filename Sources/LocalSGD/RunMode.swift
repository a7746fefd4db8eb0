/// When shard servers take up what workers have learnt: a policy over one and the same machinery.
package enum RunMode: String, Sendable, Codable, CaseIterable {
    /// Rounds of a fixed number of inner steps.
    ///
    /// A round closes for a module when all its members have answered, or at its deadline when a
    /// quorum has. Contributions are weighed against those of the same round, by ``Weighting``.
    /// Momentum moves once per round, along their mean.
    case edit
    /// Rounds of a fixed time, for machines that differ.
    ///
    /// A round closes like one of ``edit``, but every worker pushes at the first step boundary
    /// after its own timer has run out (``SyncTime``), so nobody waits for longer than a slow step;
    /// the round is extended while all steps together are too few. Contributions are weighed as in
    /// ``edit``, by tokens that differ now. Momentum moves once per round.
    case aEdit = "a-edit"
    /// No rounds: every push is applied when it comes.
    ///
    /// There is nothing to close; a worker takes its own number of steps (``LocalUpdates``) and
    /// goes on from the answer. A contribution is weighed against the last one of every live worker
    /// and discounted by its age (``Staleness``). Momentum moves once every so many pushes as there
    /// are workers, along their mean (``DelayedNesterov``).
    case asynchronous = "async"
}
