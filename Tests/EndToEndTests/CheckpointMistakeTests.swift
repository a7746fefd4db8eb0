import Foundation
import Testing

extension EndToEnd {
    /// A run that has ended, and mistakes with what it has left.
    @Suite struct CheckpointMistakes {
        @Test func nothingIsLostByAnyOfThem() async throws {
            let scenario = try Scenario(rounds: 8, workers: "1")
            let up = try scenario.up()
            defer { up.kill() }
            #expect(try await up.end().exit == .code(0))
            let names = scenario.checkpointNames()
            #expect(names == ["checkpoint-000005", "checkpoint-000008"])
            let models = names.map { "\(scenario.checkpoints)/\($0)/model.safetensors" }
            let before = try models.map(bytes(at:))

            try await Mistake.up("used folder", 73, { _ in [] }) {
                "\($0.run) already holds a run; --resume goes on with it, "
                    + "--set folder=PATH starts another"
            }.make(in: scenario)
            let shape = ["--resume", "--set", "model.expert_hidden_size=48"]
            try await Mistake.up("another shape", 65, { _ in shape }) {
                "coordinator: \($0.checkpoints)/checkpoint-000008 is of another model than the "
                    + "configuration; set the model's keys as they were "
                    + "(log: \($0.run)/logs/coordinator.log)"
            }.make(in: scenario)
            let areUntouched = try models.map(bytes(at:)) == before
            #expect(areUntouched)
            #expect(scenario.checkpointNames() == names)
            try await olderCheckpointIsTaken(scenario, damaging: models[1])
            try await allDamagedIsAnError(scenario)
        }

        private func olderCheckpointIsTaken(
            _ scenario: Scenario, damaging model: String
        ) async throws {
            try flipABit(1, in: model)
            let generate = try await scenario.martlet(
                "generate", "--model", scenario.checkpoints + "/checkpoint-000008",
                "--prompt", "the")
            #expect(generate.exit == .code(65))
            #expect(generate.output == "")
            #expect(generate.errors.hasPrefix("martlet: error: \(model) is damaged: "))
            #expect(generate.errors.hasSuffix(" was written; use an older checkpoint\n"))

            let again = try scenario.up("--resume", "--set", "training.rounds=10")
            defer { again.kill() }
            let ending = try await again.end()
            #expect(ending.exit == .code(0), "\(ending.errors)")
            let log = text(at: scenario.run + "/logs/coordinator.log").split(separator: "\n")
            #expect(
                log.contains {
                    $0.contains(" warning ")
                        && $0.contains("passing over a checkpoint: \(model) is damaged")
                })
            #expect(scenario.checkpointNames().last == "checkpoint-000010")
        }

        private func allDamagedIsAnError(_ scenario: Scenario) async throws {
            let models = scenario.checkpointNames()
                .map { "\(scenario.checkpoints)/\($0)/model.safetensors" }
            for model in models { try flipABit(2, in: model) }
            let resume = try await scenario.up("--resume").end()
            #expect(resume.exit == .code(65))
            #expect(resume.output == "")
            let newest = try #require(models.last)
            #expect(resume.errors.hasPrefix("martlet: error: coordinator: \(newest) is damaged: "))
            #expect(resume.errors.split(separator: "\n").count == 1)
        }

        /// A bit flipped twice would be whole again, so each damage has its own.
        private func flipABit(_ bit: UInt8, in path: String) throws {
            var contents = try bytes(at: path)
            contents[contents.count / 2] ^= 1 << bit
            try contents.write(to: URL(fileURLWithPath: path))
        }
    }
}
