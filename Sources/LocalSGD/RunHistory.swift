/// What a run has to show so far; kept in checkpoints.
package struct RunHistory: Sendable, Equatable, Codable {
    /// The state after one round.
    package struct Point: Sendable, Equatable, Codable {
        package var round: Int
        /// Tokens trained on in all rounds so far.
        package var tokens: Int
        /// Seconds of run time, resumed runs added up.
        package var seconds: Double
        /// Mean cross-entropy of the round's training tokens, in nats per token, if any were told.
        package var trainLoss: Double?
        /// Held-out loss of the version at the round's start, if it was measured.
        package var heldOutLoss: Double?
        /// Live experts of a token and layer, where masks are learnt.
        package var activeExperts: Double?
    }

    /// A measurement of one version, in nats per token.
    package struct HeldOutLoss: Sendable, Equatable, Codable {
        package let version: UInt64
        package let loss: Double
    }

    /// What masks left of each layer with experts in one round; nothing if no worker has told.
    package struct MasksOfRound: Sendable, Equatable, Codable {
        package let round: Int
        package let layers: [MaskShare]
    }

    /// Points kept; of a longer run every second one is dropped whenever they double.
    package static let pointsMax = 512

    package private(set) var points: [Point] = []
    /// Tokens whose updates were applied, and tokens whose updates were lost with their worker or
    /// came too late.
    package var appliedTokens = 0
    package var lostTokens = 0
    /// Inner steps applied.
    package var steps = 0
    /// Where the learning rate's schedule is: inner steps of all workers over their number, where
    /// these are not the same in every round.
    package var position = 0.0
    /// Contributions, one per worker and round: applied, and not.
    package var appliedContributions = 0
    package var missedContributions = 0
    package private(set) var latestHeldOut: HeldOutLoss?
    package private(set) var bestHeldOutLoss: Double?
    /// Where masks are learnt: what they left of each layer with experts when last told, and the
    /// factor of their regulariser in force.
    package var masks: [MaskShare]?
    package var maskCoefficient: Double?
    /// Once a checkpoint is ordered, what masks left in the round that made its version, which is
    /// heeded when the next one has closed.
    package var masksAhead: MasksOfRound?

    package init() {}

    /// Live experts of a token and layer, and the share of tokens without any, over all layers.
    package var activeExperts: Double? { masks?.active }
    package var emptyShare: Double? { masks?.empty }

    package mutating func append(_ point: Point) {
        points.append(point)
        points[points.count - 1].activeExperts = activeExperts
        if let measured = latestHeldOut, Int(measured.version) == point.round {
            points[points.count - 1].heldOutLoss = measured.loss
        }
        if points.count > RunHistory.pointsMax {
            points = points.enumerated().filter {
                $0.offset % 2 == 0 || $0.offset >= points.count - 2
            }
            .map(\.element)
        }
    }

    /// Notes the held-out loss of `version`, at the point of the round that starts from it.
    package mutating func recordHeldOut(_ loss: Double, version: UInt64) {
        // A loss that is not a number says nothing, and JSON has no word for it.
        guard loss.isFinite else { return }
        latestHeldOut = HeldOutLoss(version: version, loss: loss)
        bestHeldOutLoss = min(bestHeldOutLoss ?? loss, loss)
        // The measurement may come before its round closes or after; see `append`.
        if let index = points.lastIndex(where: { $0.round == Int(version) }) {
            points[index].heldOutLoss = loss
        }
    }

    /// Notes the training loss of a round whose point is there.
    package mutating func recordTrainLoss(_ loss: Double, round: Int) {
        guard loss.isFinite, let index = points.lastIndex(where: { $0.round == round }) else {
            return
        }
        points[index].trainLoss = loss
    }

    package var latestTrainLoss: Double? { points.last { $0.trainLoss != nil }?.trainLoss }
}
