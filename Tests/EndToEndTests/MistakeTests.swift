import Foundation
import Testing
import Wire

/// A mistake that a user can make, and what must come of it.
struct Mistake: Sendable, CustomTestStringConvertible {
    let testDescription: String
    /// As they are documented in the README.
    let exitCode: Int32
    let arguments: @Sendable (Scenario) -> [String]
    /// The one line, without its mark.
    let message: @Sendable (Scenario) -> String

    init(
        _ description: String, _ exitCode: Int32,
        _ arguments: @escaping @Sendable (Scenario) -> [String],
        says message: @escaping @Sendable (Scenario) -> String
    ) {
        testDescription = description
        self.exitCode = exitCode
        self.arguments = arguments
        self.message = message
    }

    /// `martlet up` with something more.
    static func up(
        _ description: String, _ exitCode: Int32,
        _ rest: @escaping @Sendable (Scenario) -> [String],
        says message: @escaping @Sendable (Scenario) -> String
    ) -> Mistake {
        Mistake(
            description, exitCode, { ["up", "--config", $0.configuration] + rest($0) },
            says: message)
    }

    /// Makes the mistake and sees what comes of it.
    func make(in scenario: Scenario) async throws {
        let ending = try await Program.run(arguments(scenario), in: scenario.folder)
        #expect(ending.exit == .code(exitCode))
        #expect(ending.errors == "martlet: error: \(message(scenario))\n")
        #expect(ending.output == "")
    }
}

extension EndToEnd {
    /// One clear line, a documented exit code, and nothing begun.
    @Suite struct Mistakes {
        private static let beforeTheRun: [Mistake] = [
            .up("missing corpus", 66, { _ in ["--corpus", "nowhere"] }) { _ in
                "the corpus nowhere does not exist"
            },
            .up("unknown key", 78, { _ in ["--set", "training.roundz=3"] }) { _ in
                "flag --set training.roundz=3: unknown key training.roundz; "
                    + "the nearest known key is training.rounds"
            },
            .up("bad value", 78, { _ in ["--set", "training.rounds=many"] }) { _ in
                "flag --set training.rounds=many: training.rounds: found \"many\", "
                    + "allowed is a whole number from 1 to 10000000"
            },
            .up("values that do not go together", 78, { _ in ["--set", "model.kv_heads=3"] }) {
                _ in
                "flag --set model.kv_heads=3: model.kv_heads: found 3, "
                    + "allowed is a divisor of model.heads, which is 2"
            },
            .up("a file where the folder should be", 73, { ["--set", "folder=\($0.file)/run"] }) {
                "cannot make the run folder \($0.file)/run: the folder cannot be written"
            },
            .up("nothing to resume", 66, { _ in ["--resume"] }) {
                "nothing to resume in \($0.run): no checkpoint"
            },
            Mistake("missing configuration", 66, { _ in ["up", "--config", "nowhere.yaml"] }) {
                _ in "cannot read the configuration nowhere.yaml: no such file"
            },
            Mistake("unknown option", 64, { _ in ["up", "--fast"] }) { _ in
                "Unknown option '--fast' (martlet --help explains)"
            },
            Mistake("missing identity", 77, { _ in worker("nobody.pem") }) { _ in
                "nobody.pem does not exist"
            },
            Mistake("an identity that is none", 77, { worker($0.file) }) {
                "\($0.file) is not a usable identity: it is not PEM"
            },
            Mistake("missing model", 66, { _ in generate("nowhere") }) { _ in
                "there is no checkpoint folder at nowhere"
            },
            Mistake("a folder that is no model", 66, { generate($0.folder.path("corpus")) }) {
                "\($0.folder.path("corpus"))/config.json does not exist: No such file or directory"
            },
            Mistake("no run to ask", 69, { _ in ["status", "--socket", "nowhere.sock"] }) { _ in
                "no run answers at nowhere.sock; start one with martlet up"
            },
        ]

        @Test(arguments: beforeTheRun) func oneLineAndNothingMade(_ mistake: Mistake) async throws {
            let scenario = try Scenario(rounds: 8, workers: "1")
            try await mistake.make(in: scenario)
            #expect(!exists(scenario.run))
        }

        @Test func emptyCorpus() async throws {
            let scenario = try Scenario(rounds: 8, workers: "1")
            try scenario.folder.makeFolder("empty")
            let empty = scenario.folder.path("empty")
            try await Mistake.up("empty corpus", 66, { _ in ["--corpus", empty] }) {
                "coordinator: no text in \(empty) (log: \($0.run)/logs/coordinator.log)"
            }.make(in: scenario)
        }

        @Test func mistakesInTheFileSayWhere() async throws {
            let scenario = try Scenario(rounds: 8, workers: "1")
            try scenario.folder.write("name: a\ntraining:\n  rounds: 0\n", to: "bad.yaml")
            try await Mistake("bad value in the file", 78, { _ in ["up", "--config", "bad.yaml"] })
            {
                _ in
                "bad.yaml:3:11: training.rounds: found \"0\", "
                    + "allowed is a whole number from 1 to 10000000"
            }.make(in: scenario)
        }

        private static func worker(_ identity: String) -> [String] {
            ["worker", "--coordinator", "127.0.0.1:1", "--identity", identity]
        }

        private static func generate(_ model: String) -> [String] {
            ["generate", "--model", model, "--prompt", "the"]
        }
    }

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
            #expect(try models.map(bytes(at:)) == before)
            #expect(scenario.checkpointNames() == names)
            try await olderCheckpointIsTaken(scenario, damaging: models[1])
            try await allDamagedIsAnError(scenario)
        }

        private func olderCheckpointIsTaken(
            _ scenario: Scenario, damaging model: String
        ) async throws {
            try flipAByte(in: model)
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
            for model in models { try flipAByte(in: model) }
            let resume = try await scenario.up("--resume").end()
            #expect(resume.exit == .code(65))
            #expect(resume.output == "")
            let newest = try #require(models.last)
            #expect(resume.errors.hasPrefix("martlet: error: coordinator: \(newest) is damaged: "))
            #expect(resume.errors.split(separator: "\n").count == 1)
        }

        private func flipAByte(in path: String) throws {
            var contents = try bytes(at: path)
            contents[contents.count / 2] ^= 0x10
            try contents.write(to: URL(fileURLWithPath: path))
        }
    }

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
            try await foreignAuthority(scenario, address)

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

        /// A worker of another cluster finds out at once: waiting would not help.
        private func foreignAuthority(_ scenario: Scenario, _ address: String) async throws {
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
        }
    }
}

extension Scenario {
    /// A file that is neither a folder nor an identity.
    fileprivate var file: String { configuration }
}
