import Foundation
import Testing
import Wire

extension EndToEnd {
    @Suite struct UnattendedRun {
        @Test func trainsToTheEndAndLeavesACheckpointThatWrites() async throws {
            let scenario = try Scenario(rounds: 40, workers: "2")
            let up = try scenario.up("--set", "training.minimum_workers=2")
            defer { up.kill() }
            let status = try await scenario.wait(forRound: 1, of: up)
            try await statusAgrees(scenario, id: status.id)

            let ending = try await up.end()
            #expect(ending.exit == .code(0), "\(ending.errors)")
            #expect(ending.output.contains("\nfinished\n"))
            let losses = try #require(
                ending.output.firstMatch(of: /held out +([0-9.]+) -> ([0-9.]+) nats per token/))
            let first = try #require(Double(losses.1))
            let last = try #require(Double(losses.2))
            #expect(first > 5 && first < 6.5, "an untrained model knows nothing: \(first)")
            #expect(last < 0.7 * first, "the loss falls clearly: \(first) -> \(last)")
            #expect(
                scenario.checkpointNames() == ["checkpoint-000035", "checkpoint-000040"])
            for file in [
                "config.json", "generation_config.json", "model.safetensors", "tokenizer.json",
                "martlet/run.json", "martlet/outer.safetensors", "martlet/manifest.json",
            ] {
                #expect(exists("\(scenario.checkpoints)/checkpoint-000040/\(file)"), "\(file)")
            }
            #expect(!exists(scenario.run + "/status.sock"))
            try await generates(scenario)
        }

        /// The command and any HTTP client see the run that this test sees.
        private func statusAgrees(_ scenario: Scenario, id: String) async throws {
            let command = try await scenario.martlet("status", "--json", "--run", scenario.run)
            #expect(command.exit == .code(0), "\(command.errors)")
            let curl = try await Program.run(
                [
                    "curl", "--silent", "--show-error", "--unix-socket",
                    scenario.run + "/status.sock", "http://martlet/v1/status",
                ], in: scenario.folder, program: "/usr/bin/env")
            #expect(curl.exit == .code(0), "\(curl.errors)")
            for text in [command.output, curl.output] {
                let object = try #require(
                    try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
                #expect(object["id"] as? String == id)
                #expect(object["rounds_total"] as? Int == 40)
                #expect((object["members"] as? [Any])?.count == 5)
            }
        }

        private func generates(_ scenario: Scenario) async throws {
            let newest = scenario.checkpoints + "/checkpoint-000040"
            func text(model: String) async throws -> String {
                let ending = try await scenario.martlet(
                    "generate", "--model", model, "--prompt", "the", "--max-tokens", "20")
                #expect(ending.exit == .code(0), "\(ending.errors)")
                return ending.output
            }
            let once = try await text(model: newest)
            #expect(once.hasPrefix("the") && once.utf8.count > 5)
            #expect(try await text(model: scenario.checkpoints) == once, "the newest is meant")
        }
    }
}
