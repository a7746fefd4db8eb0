import Foundation
import Testing
import Wire

extension EndToEnd {
    @Suite struct Elasticity {
        /// Seconds that a round may take at most, the one with the loss of a worker included: the
        /// coordinator forgives a broken connection 2 seconds, the rest is for a busy machine.
        private static let roundSecondsMax = 15.0

        @Test func aWorkerIsKilledAndAnotherJoins() async throws {
            let scenario = try Scenario(rounds: Scenario.endless, workers: "3")
            let up = try scenario.up("--set", "training.minimum_workers=3")
            defer { up.kill() }
            try await scenario.wait(forRound: Scenario.warmupRounds + 1, of: up)

            try kill("worker-2", of: up)
            let afterLoss = try await scenario.wait(for: "the loss of worker-2", of: up) {
                $0.worker("worker-2")?.state == .lost
            }
            try await scenario.wait(forRound: Int(afterLoss.round) + 3, of: up)

            let fourth = try await join("worker-4", scenario, at: afterLoss.coordinatorAddress)
            defer { fourth.kill() }
            let joined = try await scenario.wait(for: "worker-4 among the active", of: up) {
                $0.worker("worker-4").map { $0.state == .active && $0.tokens > 0 } ?? false
            }
            #expect(joined.worker("worker-2")?.state == .lost)
            let last = try await scenario.wait(for: "a measurement after that", of: up) {
                $0.hasHeldOutRound && $0.heldOutRound >= joined.round + 4
            }
            #expect(last.worker("worker-1")?.state == .active)
            #expect(last.worker("worker-3")?.state == .active)
            #expect(last.round > joined.round)

            let ending = try await scenario.stop(up)
            #expect(ending.exit == .code(0), "\(ending.errors)")
            #expect(
                ending.output.contains("worker-2 was killed by signal 9; the run goes on"))
            #expect(try await fourth.end(within: .seconds(20)).exit == .code(0))
            noRoundHung(last)
            let first = try #require(last.history.first { $0.hasHeldOutLoss })
            #expect(first.round == 0)
            #expect(last.heldOutLoss < first.heldOutLoss - 1, "the loss falls")
        }

        /// Kills the process of worker `name`, found by its identity file.
        private func kill(_ name: String, of up: Program) throws {
            let workers = SystemProcess.children(of: up.id).filter { process in
                process.arguments.dropFirst().first == "worker"
                    && process.arguments.contains { $0.hasSuffix("/\(name).identity.pem") }
            }
            #expect(workers.count == 1, "each role is a process of its own")
            let worker = try #require(workers.first)
            try #require(Glibc.kill(worker.id, SIGKILL) == 0)
        }

        /// Starts a worker by hand, as a second terminal would.
        private func join(
            _ name: String, _ scenario: Scenario, at address: String
        ) async throws -> Program {
            let issued = try await scenario.martlet(
                "ca", "issue", "worker", name, "--ca", scenario.run + "/ca",
                "--into", scenario.folder.path)
            #expect(issued.exit == .code(0), "\(issued.errors)")
            let identity = issued.output.trimmingCharacters(in: .newlines)
            return try Program(
                ["worker", "--coordinator", address, "--identity", identity],
                in: scenario.folder)
        }

        private func noRoundHung(_ status: Martlet_V1_RunStatus) {
            #expect(status.history.count > Scenario.warmupRounds)
            for (earlier, later) in zip(status.history, status.history.dropFirst()) {
                let seconds = later.seconds - earlier.seconds
                #expect(seconds < Self.roundSecondsMax, "round \(later.round)")
            }
        }
    }
}
