import Foundation
import Status
import Testing
import Wire

/// A small run in a folder of its own: a tiny model, made-up text, real processes.
struct Scenario: Sendable {
    /// Something that was expected of a run did not come in time.
    struct Missed: Error, CustomStringConvertible {
        let description: String
    }

    static let warmupRounds = 6
    static let syncInterval = 4
    static let batchSize = 4
    static let sequenceLength = 32
    static let checkpointInterval = 5
    /// More rounds than any test waits for.
    static let endless = 100_000

    let folder: TemporaryFolder
    var run: String { folder.path("run") }
    var configuration: String { folder.path("small.yaml") }
    var checkpoints: String { run + "/checkpoints" }
    private var client: StatusClient { StatusClient(path: run + "/status.sock") }

    /// - Parameter workers: `cluster.workers`, a number or a list in YAML.
    init(rounds: Int, workers: String) throws {
        folder = try TemporaryFolder()
        try folder.makeFolder("corpus")
        for number in 0..<8 {
            try folder.write(madeUpText(seed: UInt64(number)), to: "corpus/\(number).txt")
        }
        try folder.write(
            """
            name: small
            folder: \(run)
            corpus: [\(folder.path("corpus"))]
            model: {hidden_size: 32, layers: 2, heads: 2, kv_heads: 1, head_dim: 16, experts: 8,
              experts_per_token: 2, expert_hidden_size: 32, sequence_length: \(Self.sequenceLength)}
            training:
              mode: edit
              rounds: \(rounds)
              warmup_rounds: \(Self.warmupRounds)
              sync_interval: \(Self.syncInterval)
              batch_size: \(Self.batchSize)
              inner: {learning_rate: 0.01, warmup_steps: 8}
            evaluation: {every_rounds: 4, sequences: 8}
            checkpoint: {every_rounds: \(Self.checkpointInterval), keep: 2}
            cluster: {shards: 2, workers: \(workers)}

            """, to: "small.yaml")
    }

    /// Tokens that `rounds` rounds of one worker train on.
    static func tokens(rounds: Int) -> UInt64 {
        let warmup = min(rounds, warmupRounds)
        let steps = warmup + (rounds - warmup) * syncInterval
        return UInt64(steps * batchSize * sequenceLength)
    }

    /// Starts `martlet up`.
    func up(_ rest: String...) throws -> Program {
        try Program(["up", "--config", configuration] + rest, in: folder)
    }

    /// Runs `martlet` to its end.
    func martlet(
        _ arguments: String..., within patience: Duration = .seconds(60)
    ) async throws -> Program.Ending {
        try await Program.run(arguments, in: folder, within: patience)
    }

    /// Asks the run until it answers something that fulfils `condition`.
    ///
    /// - Throws: `Missed` with all that is known, if `patience` ends or the run does.
    @discardableResult
    func wait(
        for what: String, of up: Program, within patience: Duration = .seconds(30),
        until condition: (Martlet_V1_RunStatus) -> Bool
    ) async throws -> Martlet_V1_RunStatus {
        let clock = ContinuousClock()
        let deadline = clock.now + patience
        var last: StatusAnswer?
        while up.isRunning, clock.now < deadline {
            if let answer = try? await client.fetch() {
                last = answer
                if condition(answer.status) { return answer.status }
            }
            try await Task.sleep(for: .milliseconds(30))
        }
        throw Missed(
            description: """
                \(what) did not come\(up.isRunning ? " within \(patience)" : ": the run has ended")
                status: \(last?.json ?? "none")
                up: \(up.output)\(up.errors)
                coordinator: \(text(at: run + "/logs/coordinator.log").suffix(2000))
                """)
    }

    /// Waits until the run is at `round` or later.
    @discardableResult
    func wait(forRound round: Int, of up: Program) async throws -> Martlet_V1_RunStatus {
        try await wait(for: "round \(round)", of: up) { $0.round >= UInt64(round) }
    }

    /// Ends the run in order.
    func stop(_ up: Program) async throws -> Program.Ending {
        let stop = try await martlet("stop", "--run", run)
        #expect(stop.exit == .code(0), "\(stop.errors)")
        return try await up.end()
    }

    /// Names of the checkpoints there are, oldest first.
    func checkpointNames() -> [String] {
        ((try? FileManager.default.contentsOfDirectory(atPath: checkpoints)) ?? []).sorted()
    }
}

extension Martlet_V1_RunStatus {
    func worker(_ name: String) -> Martlet_V1_Member? {
        members.first { $0.role == .worker && $0.name == name }
    }

    /// Where the coordinator listens.
    var coordinatorAddress: String { members.first { $0.role == .coordinator }?.address ?? "" }
}

/// Sentences of a few dozen words: enough of a language for a tiny model to learn.
private func madeUpText(seed: UInt64) -> String {
    let subjects = ["the swift", "a martlet", "the old rook", "one gull", "the small wren"]
    let verbs = ["flies over", "rests above", "looks down on", "circles round", "leaves"]
    let places = ["the sea", "the tower", "the green hill", "a quiet harbour", "the last wall"]
    let times = ["at dawn", "in the evening", "before the rain", "every summer", "at noon"]
    var state = seed &* 0x9E37_79B9_7F4A_7C15 | 1
    func pick(_ words: [String]) -> String {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return words[Int(state % UInt64(words.count))]
    }
    return (0..<200).map { _ in
        "\(pick(subjects)) \(pick(verbs)) \(pick(places)) \(pick(times)).\n"
    }.joined()
}
