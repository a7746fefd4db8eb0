package import Tensors

/// What workers and shard servers tell the coordinator about themselves.

/// A sign of life with a few figures, once a second.
package struct Heartbeat: Sendable, Equatable {
    package var incarnation: UInt64
    /// The round being trained, and inner steps done in it.
    package var round: Int
    package var stepsInRound: Int
    /// Tokens trained on since the process started.
    package var tokens: Int
    package var tokensPerSecond: Double
    /// Mean cross-entropy of recent steps, in nats per token; NaN before the first.
    package var trainLoss: Double
    /// Bytes sent and received since the process started.
    package var bytesUp: Int
    package var bytesDown: Int
    /// Share of full speed that the worker was told to keep to.
    package var throttle: Double
    /// Of a shard server without rounds: the version of each module it holds, in the order of the
    /// model.
    package var versions: [UInt64]

    package init(
        incarnation: UInt64, round: Int = 0, stepsInRound: Int = 0, tokens: Int = 0,
        tokensPerSecond: Double = 0, trainLoss: Double = .nan, bytesUp: Int = 0,
        bytesDown: Int = 0, throttle: Double = 1, versions: [UInt64] = []
    ) {
        self.versions = versions
        self.incarnation = incarnation
        self.round = round
        self.stepsInRound = stepsInRound
        self.tokens = tokens
        self.tokensPerSecond = tokensPerSecond
        self.trainLoss = trainLoss
        self.bytesUp = bytesUp
        self.bytesDown = bytesDown
        self.throttle = throttle
    }
}

/// What a worker did in a round, told with its next question.
package struct RoundReport: Sendable, Equatable {
    package var round: Int
    package var steps: Int
    package var tokens: Int
    /// Sum of the cross-entropy of all tokens of the round, in nats.
    package var lossSum: Double
    /// Modules for which the worker's contribution was accepted, and for which it was not.
    package var accepted: Int
    package var rejected: Int
    /// What masks left of each layer with experts, where masks are learnt.
    package var masks: [MaskTally]

    package init(
        round: Int, steps: Int, tokens: Int, lossSum: Double, accepted: Int, rejected: Int,
        masks: [MaskTally] = []
    ) {
        self.round = round
        self.steps = steps
        self.tokens = tokens
        self.lossSum = lossSum
        self.accepted = accepted
        self.rejected = rejected
        self.masks = masks
    }
}

/// The loss of one version on some held-out sequences.
package struct EvaluationReport: Sendable, Equatable {
    package var version: UInt64
    package var sequences: Range<Int>
    /// Sum of the cross-entropy, in nats, over `tokens` tokens.
    package var lossSum: Double
    package var tokens: Int

    package init(version: UInt64, sequences: Range<Int>, lossSum: Double, tokens: Int) {
        self.version = version
        self.sequences = sequences
        self.lossSum = lossSum
        self.tokens = tokens
    }
}

/// Splits the held-out set among workers and puts their reports together again.
package struct Evaluation: Sendable, Equatable {
    package let version: UInt64
    /// Who measures which sequences.
    package let parts: [String: Range<Int>]
    private var reports: [String: EvaluationReport] = [:]

    /// Cuts `sequences` held-out sequences into one part per worker; workers beyond that get none.
    package init(version: UInt64, sequences: Int, workers: [String]) {
        self.version = version
        var parts: [String: Range<Int>] = [:]
        for (index, worker) in workers.enumerated() {
            let part = sequences * index / workers.count..<sequences * (index + 1) / workers.count
            if !part.isEmpty { parts[worker] = part }
        }
        self.parts = parts
    }

    package mutating func record(_ report: EvaluationReport, from worker: String) {
        guard report.version == version, parts[worker] == report.sequences else { return }
        reports[worker] = report
    }

    /// The part of `worker`, unless it has reported it.
    package func missingPart(of worker: String) -> Range<Int>? {
        reports[worker] == nil ? parts[worker] : nil
    }

    /// Whether every worker of `present` that has a part has reported.
    package func isComplete(among present: Set<String>) -> Bool {
        parts.keys.allSatisfy { reports[$0] != nil || !present.contains($0) }
    }

    /// Mean cross-entropy over what was reported, in nats per token.
    package var loss: Double? {
        let tokens = reports.values.map(\.tokens).reduce(0, +)
        guard tokens > 0 else { return nil }
        // Summed in the order of names, so that the same reports give the same bits.
        let sum = reports.sorted { $0.key < $1.key }.reduce(0) { $0 + $1.value.lossSum }
        return sum / Double(tokens)
    }
}
