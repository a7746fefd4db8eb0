/// What one run came to; the same for the same plan, case and seed, so nothing of the machine that
/// computed it is in it.
struct ConvergenceResult: Codable, Equatable, Sendable {
    /// A measurement on the way.
    struct Point: Codable, Equatable, Sendable {
        var tokens: Int
        /// Virtual seconds.
        var seconds: Double
        /// Held-out loss in nats per token.
        var loss: Double
    }

    struct Worker: Codable, Equatable, Sendable {
        var name: String
        var steps: Int
        /// Virtual seconds in steps; the rest of the run's it was idle.
        var busySeconds: Double
        /// On its line, frames and all.
        var bytesUp: Int
        var bytesDown: Int
    }

    var plan: ConvergencePlan
    var run: ConvergenceCase
    var seed: UInt64
    var parameters: Int
    /// Of the last version.
    var heldOutLoss: Double
    var appliedTokens: Int
    var lostTokens: Int
    /// Virtual seconds until the last version was there.
    var seconds: Double
    /// What of both the synchronous warm-up took, if rounds came behind it.
    var warmupTokens: Int
    var warmupSeconds: Double
    var appliedContributions: Int
    var missedContributions: Int
    var workers: [Worker]
    var curve: [Point]

    /// Tokens per virtual second behind the warm-up.
    var speed: Double { Double(appliedTokens - warmupTokens) / (seconds - warmupSeconds) }

    /// What the workers would make if none ever waited, in tokens per virtual second.
    var speedOfWorkers: Double {
        workers.filter { $0.busySeconds > 0 }.reduce(0) {
            $0 + Double($1.steps * plan.tokensPerStep) / $1.busySeconds
        }
    }

    /// Share of the workers' time in which they did not train.
    var idleShare: Double {
        let busy = workers.reduce(0) { $0 + min($1.busySeconds, seconds) }
        return 1 - busy / (seconds * Double(workers.count))
    }

    /// Virtual seconds until the held-out loss was `target`, between two measurements by a straight
    /// line; nothing if it never was.
    func seconds(to target: Double) -> Double? {
        guard let index = curve.firstIndex(where: { $0.loss <= target }) else { return nil }
        let reached = curve[index]
        guard index > 0 else { return reached.seconds }
        let before = curve[index - 1]
        let share = (before.loss - target) / (before.loss - reached.loss)
        return before.seconds + share * (reached.seconds - before.seconds)
    }
}

/// The folder in which every finished run is one file.
struct ConvergenceFolder {
    let path: String

    private var files: ResultFolder<ConvergenceResult> { ResultFolder(path: path) }

    /// The name of a run's file.
    static func name(_ run: ConvergenceCase, seed: UInt64) -> String { "\(run.name).\(seed)" }

    func write(_ result: ConvergenceResult) throws {
        try files.write(result, name: Self.name(result.run, seed: result.seed))
    }

    /// All finished runs, in the order of their names.
    func results() throws -> [ConvergenceResult] { try files.results() }
}
