import Foundation
import Testing
import Wire

extension EndToEnd {
    /// A run under way, and those who may not disturb it.
    @Suite struct Intruders {
        @Test func theRunGoesOnWhateverTheyTry() async throws {
            let scenario = try Scenario(rounds: Scenario.endless, workers: "1")
            let up = try scenario.up()
            defer { up.kill() }
            let address = try await scenario.wait(forRound: 1, of: up).coordinatorAddress

            try await portInUse(scenario, address)
            try await Mistake.up(
                "second up", 73,
                {
                    [
                        "--set", "folder=\($0.run)-2", "--set",
                        "status.socket=\($0.run)/status.sock",
                    ]
                }
            ) {
                "a run answers at \($0.run)/status.sock already; martlet stop ends it"
            }.make(in: scenario)
            try await wrongRole(scenario, address)

            let round = try await scenario.wait(for: "an answer", of: up) { _ in true }.round
            let after = try await scenario.wait(forRound: Int(round) + 3, of: up)
            #expect(after.worker("worker-1")?.state == .active)
            #expect(after.members.count == 4, "nobody was let in")
            let ending = try await scenario.stop(up)
            #expect(ending.exit == .code(0), "\(ending.errors)")
        }

        private func portInUse(_ scenario: Scenario, _ address: String) async throws {
            let port = try #require(address.split(separator: ":").last)
            let other = scenario.folder.path("other")
            let ending = try await scenario.up(
                "--set", "folder=\(other)", "--set", "cluster.port=\(port)"
            ).end()
            #expect(ending.exit == .code(71))
            #expect(ending.output == "")
            #expect(
                ending.errors.hasPrefix(
                    "martlet: error: coordinator: can't listen on \(address); "
                        + "choose another address"))
            #expect(ending.errors.contains("Address already in use"))
            #expect(ending.errors.split(separator: "\n").count == 1)
        }

        private func wrongRole(_ scenario: Scenario, _ address: String) async throws {
            let shard = scenario.run + "/identities/shard-1.identity.pem"
            let arguments = ["worker", "--coordinator", address, "--identity", shard]
            try await Mistake("wrong role", 77, { _ in arguments }) { _ in
                "\(shard) is for shard/shard-1, and a worker is wanted"
            }.make(in: scenario)
        }

        /// A worker of another cluster ends at once: waiting would not help.
        @Test func aForeignWorkerIsRefusedAtOnce() async throws {
            let scenario = try Scenario(rounds: Scenario.endless, workers: "1")
            let up = try scenario.up()
            defer { up.kill() }
            let address = try await scenario.wait(forRound: 1, of: up).coordinatorAddress
            let ca = scenario.folder.path("foreign")
            #expect(try await scenario.martlet("ca", "init", "--folder", ca).exit == .code(0))
            let issued = try await scenario.martlet(
                "ca", "issue", "worker", "worker-9", "--ca", ca, "--into", ca)
            let identity = issued.output.trimmingCharacters(in: .newlines)
            let worker = try await scenario.martlet(
                "worker", "--coordinator", address, "--identity", identity, within: .seconds(20))
            #expect(worker.exit == .code(77))
            let errors = worker.errors.split(separator: "\n").filter {
                $0.hasPrefix("martlet: error: ")
            }
            #expect(errors.count == 1)
            #expect(errors.first?.contains("is not of this cluster's authority") == true)
            let round = try await scenario.wait(for: "an answer", of: up) { _ in true }.round
            try await scenario.wait(forRound: Int(round) + 3, of: up)
            #expect(try await scenario.stop(up).exit == .code(0))
        }
    }
}
