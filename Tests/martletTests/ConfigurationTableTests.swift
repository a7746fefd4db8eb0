import Foundation
import LocalSGD
import Testing

@testable import martlet

@Suite struct ConfigurationTableTests {
    @Test func namesAndVariablesAreUnique() {
        let keys = ConfigurationTable.keys
        #expect(Set(keys.map(\.name)).count == keys.count)
        #expect(Set(keys.map(\.environmentVariable)).count == keys.count)
        #expect(
            LoadedConfiguration.foreignVariables.isDisjoint(with: keys.map(\.environmentVariable)))
    }

    /// A key's own default, written out and read again, changes nothing: so each key writes the
    /// field that it reads.
    @Test func writtenOutAndReadAgainItIsTheSame() throws {
        var loaded = LoadedConfiguration()
        #expect(try reread(loaded) == loaded.configuration)
        loaded.configuration.name = "other"
        loaded.configuration.corpus = ["a \"b\"\n\u{1}", "c"]
        loaded.configuration.run.seed = 99
        loaded.configuration.run.rounds.quorum = 1.0 / 3
        loaded.configuration.run.inner.epsilon = 1e-12
        loaded.configuration.cluster.workers = [WorkerSection(name: "a", throttle: 0.4, threads: 2)]
        #expect(try reread(loaded) == loaded.configuration)
    }

    @Test("What the coordinator reads again has no key that the model's folder decides")
    func aFolderIsWrittenOutAlone() throws {
        let loaded = try LoadedConfiguration(
            file: nil, environment: [:],
            settings: ["model.from=a \"b\"", "model.sequence_length=64"])
        #expect(try reread(loaded) == loaded.configuration)
        let yaml = loaded.yaml
        for key in ConfigurationTable.architecture {
            #expect(!yaml.contains("\(key.name):"))
            #expect(LoadedConfiguration().yaml.contains("\(key.name):"))
        }
        let text = ConfigurationPages.explanation(of: loaded)
        #expect(text.contains("model.from: \"a \\\"b\\\"\"\n"))
        #expect(text.contains("model.layers: as the config.json of model.from says\n"))
    }

    /// No two keys share a field: setting one shows in that key's value alone.
    @Test(arguments: ConfigurationTable.keys.map(\.name))
    func eachKeySetsItsOwnFieldOnly(_ name: String) throws {
        let key = try #require(ConfigurationTable.byName[name])
        let before = RunConfiguration()
        var after = before
        let candidates = [
            "1", "2", "4", "16", "0.25", "0.5", "true", "false", "sgd", "uniform", "other",
            "async", "reference", "plain", "alpha", "bf16", "worker", "radial", "l2", "mask-only",
            "[{name: z}]",
        ]
        let isSet = candidates.contains { text in
            var loaded = LoadedConfiguration()
            guard (try? loaded.assign(key, text: text, at: .defaults)) != nil,
                key.yaml(loaded.configuration) != key.yaml(before)
            else { return false }
            after = loaded.configuration
            return true
        }
        #expect(isSet)
        let changed = ConfigurationTable.keys.filter { $0.yaml(before) != $0.yaml(after) }
        #expect(changed.map(\.name) == [name])
    }

    @Test func explanationNamesEveryKeyAndItsPlace() throws {
        let loaded = try LoadedConfiguration(
            file: ("run.yaml", "seed: 7"), environment: [:], settings: ["model.layers=2"])
        let text = ConfigurationPages.explanation(of: loaded)
        for key in ConfigurationTable.keys {
            #expect(text.contains("\(key.name): \(key.yaml(loaded.configuration))\n"))
            #expect(text.contains(key.allowed))
        }
        #expect(text.contains("seed: 7\n    Seed of everything"))
        #expect(text.contains("from: run.yaml:1:1\n"))
        #expect(text.contains("from: flag --set model.layers=2\n"))
    }

    @Test func theWrittenPageIsUpToDate() throws {
        let page = try String(
            contentsOf: root.appendingPathComponent("docs/configuration.md"), encoding: .utf8)
        #expect(page == ConfigurationPages.markdown, "run make docs")
    }

    @Test func theDemoIsValid() throws {
        let path = root.appendingPathComponent("deploy/local/demo.yaml")
        let yaml = try String(contentsOf: path, encoding: .utf8)
        let loaded = try LoadedConfiguration(
            file: ("demo.yaml", yaml), environment: [:], settings: [])
        let cluster = loaded.configuration.cluster
        #expect(cluster.shards == 2)
        #expect(cluster.workers.map(\.throttle) == [1, 1, 0.4])
        #expect(loaded.configuration.model.experts >= 8)
    }

    private var root: URL {
        URL(fileURLWithPath: #filePath).deletingLastPathComponent().resolvingSymlinksInPath()
            .deletingLastPathComponent().deletingLastPathComponent()
    }

    private func reread(_ loaded: LoadedConfiguration) throws -> RunConfiguration {
        try LoadedConfiguration(file: ("x", loaded.yaml), environment: [:], settings: [])
            .configuration
    }
}
