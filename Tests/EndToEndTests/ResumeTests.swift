import Foundation
import Testing
import Wire

extension EndToEnd {
    @Suite struct Resume {
        @Test func anInterruptedRunGoesOnWhereItWas() async throws {
            let rounds = 60
            let slow = "[{name: worker-1}, {name: worker-2, throttle: 0.2}]"
            let scenario = try Scenario(rounds: rounds, workers: slow)
            let up = try scenario.up()
            defer { up.kill() }
            try await scenario.wait(forRound: Scenario.warmupRounds + 3, of: up)
            up.send(SIGINT)
            let stopped = try await up.end()
            #expect(stopped.exit == .code(0), "\(stopped.errors)")
            #expect(stopped.output.contains("stopped as asked; the run can go on"))
            let newest = try #require(scenario.checkpointNames().last)
            let round = try #require(Int(newest.dropFirst("checkpoint-".count)))
            #expect(round >= Scenario.warmupRounds + 3 && round < rounds)
            let before = try RunRecord(checkpoint: "\(scenario.checkpoints)/\(newest)")
            #expect(before.tokens > 0)

            let again = try Program(resumeArguments(stopped.output), in: scenario.folder)
            defer { again.kill() }
            let first = try await scenario.wait(for: "an answer", of: again) { _ in true }
            #expect(first.id == before.runID)
            #expect(first.round >= UInt64(round))
            #expect(first.tokens >= before.tokens)
            #expect(first.history.count >= before.points)
            let ended = try await again.end()
            #expect(ended.exit == .code(0), "\(ended.errors)")
            #expect(ended.output.contains("\nfinished\n"))
            let after = try RunRecord(
                checkpoint: scenario.checkpoints + "/checkpoint-0000\(rounds)")
            #expect(after.runID == before.runID)
            #expect(after.points == rounds, "every round once")
            #expect(after.tokens > before.tokens)
            #expect(after.loss < before.loss, "it goes on learning")
        }

        /// The arguments of the command that a stopped run says it can be resumed with.
        private func resumeArguments(_ output: String) throws -> [String] {
            let lines = output.split(separator: "\n")
            let line = try #require(lines.first { $0.hasPrefix("  resume ") })
            let words = line.split(separator: " ").map(String.init)
            #expect(words.prefix(2) == ["resume", "martlet"])
            return Array(words.dropFirst(2))
        }

        // MARK: The same bits

        enum Disturbance: String, CaseIterable, Sendable {
            case interruptedInWarmup, interruptedLater, killed

            /// The round during which, or soon after which, it comes.
            var round: Int { self == .interruptedInWarmup ? 2 : 12 }
        }

        private static let rounds = 30
        private static let last = "checkpoint-000030"
        private static let together = "training.minimum_workers=2"
        /// With `topk` what is left unsaid, both ways, is part of what a run goes on from.
        private static let codecs = ["raw", "topk"]
        /// What runs that nobody disturbs end with, by codec.
        private static let undisturbed = Dictionary(
            uniqueKeysWithValues: codecs.map { codec in
                let parameters = Task {
                    let scenario = try Scenario(rounds: rounds, workers: "2")
                    let up = try scenario.up(
                        "--set", together, "--set", "training.codec=\(codec)")
                    defer { up.kill() }
                    let ending = try await up.end()
                    #expect(ending.exit == .code(0), "\(ending.errors)")
                    return try Parameters(checkpoint: "\(scenario.checkpoints)/\(last)")
                }
                return (codec, parameters)
            })

        /// Two workers that start together, with barriers: a stop and a resume change not one bit.
        @Test(arguments: Disturbance.allCases, codecs)
        func resumingIsExact(_ disturbance: Disturbance, _ codec: String) async throws {
            let coding = "training.codec=\(codec)"
            let expected = try await #require(Self.undisturbed[codec]).value
            // The throttle changes when things happen, and nothing else.
            let scenario = try Scenario(
                rounds: Self.rounds,
                workers: "[{name: worker-1, throttle: 0.2}, {name: worker-2, throttle: 0.3}]")
            let up = try scenario.up("--set", Self.together, "--set", coding)
            defer { up.kill() }
            try await scenario.wait(forRound: disturbance.round, of: up)
            try await disturb(disturbance, up)
            let newest = try #require(scenario.checkpointNames().last)
            #expect(newest < Self.last, "the run was disturbed before its end")
            let kept = try RunRecord(checkpoint: "\(scenario.checkpoints)/\(newest)")

            let again = try scenario.up(
                "--resume", "--set", Self.together, "--set", coding)
            defer { again.kill() }
            let ending = try await again.end()
            #expect(ending.exit == .code(0), "\(ending.errors)")
            let record = try RunRecord(checkpoint: "\(scenario.checkpoints)/\(Self.last)")
            #expect(record.runID == kept.runID)
            #expect(record.tokens == 2 * Scenario.tokens(rounds: Self.rounds))
            let found = try Parameters(checkpoint: "\(scenario.checkpoints)/\(Self.last)")
            // Compared outside of the macro, which would list every byte that differs.
            let (hasSameModel, hasSameOuter) = (
                found.model == expected.model, found.outer == expected.outer
            )
            #expect(hasSameModel, "the parameters")
            #expect(hasSameOuter, "the outer optimizer's state")
        }

        private func disturb(_ disturbance: Disturbance, _ up: Program) async throws {
            guard disturbance == .killed else {
                up.send(SIGINT)
                let ending = try await up.end()
                #expect(ending.exit == .code(0), "\(ending.errors)")
                return
            }
            let children = SystemProcess.children(of: up.id)
            #expect(children.count == 5, "a coordinator, two shard servers, two workers")
            up.kill()
            #expect(try await up.end().exit == .signal(SIGKILL))
            let clock = ContinuousClock()
            let deadline = clock.now + .seconds(15)
            while clock.now < deadline, children.contains(where: \.isAlive) {
                try await Task.sleep(for: .milliseconds(50))
            }
            let left = children.filter(\.isAlive).map(\.arguments)
            #expect(left == [], "nobody outlives the process that started it")
        }
    }
}

/// The parameters of a checkpoint, and what the outer optimizer keeps of each.
private struct Parameters: Sendable {
    let model: Data
    let outer: Data

    init(checkpoint: String) throws {
        model = try bytes(at: checkpoint + "/model.safetensors")
        outer = try bytes(at: checkpoint + "/martlet/outer.safetensors")
    }
}

/// What a checkpoint says of its run.
private struct RunRecord: Sendable {
    let runID: String
    let tokens: UInt64
    /// Rounds in the history.
    let points: Int
    /// The latest held-out loss, in nats per token.
    let loss: Double

    private struct Document: Decodable {
        struct History: Decodable {
            struct Point: Decodable { let round: Int }
            struct Loss: Decodable { let loss: Double }
            let appliedTokens: UInt64
            let points: [Point]
            let latestHeldOut: Loss
        }
        let runID: String
        let history: History
    }

    init(checkpoint: String) throws {
        let document = try JSONDecoder().decode(
            Document.self, from: bytes(at: checkpoint + "/martlet/run.json"))
        runID = document.runID
        tokens = document.history.appliedTokens
        points = document.history.points.count
        loss = document.history.latestHeldOut.loss
    }
}
