import Foundation
import Testing

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
            .up("a shape beside a model's folder", 78, { _ in ["--set", "model.from=old"] }) {
                "\($0.configuration):4:9: model.hidden_size: found 32, "
                    + "allowed is nothing where model.from is set; old/config.json says it"
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
            Mistake("unknown option", 64, { _ in ["up", "--frobnicate"] }) { _ in
                "Unknown option '--frobnicate' (martlet --help explains)"
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
                "bad.yaml:3:3: training.rounds: found \"0\", "
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
}

extension Scenario {
    /// A file that is neither a folder nor an identity.
    fileprivate var file: String { configuration }
}
