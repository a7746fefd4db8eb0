import LocalSGD
import Testing

@testable import martlet

private let roundsRule = "allowed is a whole number from 1 to 10000000"
private let nameRule =
    "allowed is 1 to 63 lower-case letters, digits and hyphens, not starting with a hyphen"

@Suite struct ConfigurationTests {
    private static let codecs =
        "raw, bf16, int8, int4, fp4, any of those four with /plain, topk or topk/N"

    // MARK: Precedence

    @Test func flagGoesBeforeEnvironmentBeforeFileBeforeDefault() throws {
        let yaml = "training: {rounds: 20, sync_interval: 21, batch_size: 22}"
        let environment = [
            "MARTLET_TRAINING_SYNC_INTERVAL": "31", "MARTLET_TRAINING_BATCH_SIZE": "32",
            "HOME": "/root", "MARTLET_ISA": "portable",
        ]
        let loaded = try load(yaml, environment, ["training.batch_size=42"])
        let rounds = loaded.configuration.run.rounds
        #expect(rounds.total == 20)
        #expect(rounds.syncInterval == 31)
        #expect(rounds.batchSize == 42)
        #expect(rounds.quorum == RunConfiguration().run.rounds.quorum)
        #expect(loaded.places["training.rounds"] == .file(path: "run.yaml", line: 1, column: 12))
        #expect(
            loaded.places["training.sync_interval"]
                == .environment(variable: "MARTLET_TRAINING_SYNC_INTERVAL"))
        #expect(loaded.places["training.batch_size"] == .flag("--set training.batch_size=42"))
        #expect(loaded.places["training.quorum"] == nil)
    }

    @Test func groupsMayBeWrittenWithDots() throws {
        let loaded = try load("training.inner.optimizer: sgd\nmodel:\n  layers: 3\n")
        #expect(loaded.configuration.run.inner.method == .sgd)
        #expect(loaded.configuration.model.layers == 3)
    }

    @Test func emptyFileAndEmptyGroupAreDefaults() throws {
        #expect(try load("").configuration == RunConfiguration())
        #expect(try load("# nothing\nmodel:\n").configuration == RunConfiguration())
    }

    @Test func workersComeInThreeForms() throws {
        let named = try load(
            "cluster: {workers: [{name: a}, {name: b, throttle: 0.4, threads: 2}]}")
        let expected = [
            WorkerSection(name: "a"), WorkerSection(name: "b", throttle: 0.4, threads: 2),
        ]
        #expect(named.configuration.cluster.workers == expected)
        let counted = try load("cluster.workers: 2").configuration.cluster.workers
        #expect(counted.map(\.name) == ["worker-1", "worker-2"])
        let flag = try load("", [:], ["cluster.workers=[{name: x}]"])
        #expect(flag.configuration.cluster.workers == [WorkerSection(name: "x")])
    }

    @Test func corpusIsAPathOrAList() throws {
        #expect(try load("corpus: a b.txt").configuration.corpus == ["a b.txt"])
        #expect(try load("corpus: [a, b]").configuration.corpus == ["a", "b"])
        #expect(try load("", [:], ["corpus=a: b #c"]).configuration.corpus == ["a: b #c"])
        var loaded = try load("corpus: x")
        try loaded.replaceCorpus(["with \"quotes\"", "b"])
        #expect(loaded.configuration.corpus == ["with \"quotes\"", "b"])
    }

    // MARK: Mistakes

    /// Each mistake has exactly one line, which names the place, the key, what was found and what
    /// is allowed.
    @Test(arguments: [
        (
            "training:\n  rouns: 3",
            "2:3: unknown key training.rouns; the nearest known key is training.rounds"
        ),
        ("sed: 3", "1:1: unknown key sed; the nearest known key is seed"),
        (
            "seed: -1",
            "1:1: seed: found \"-1\", allowed is a whole number from 0 to 18446744073709551615"
        ),
        (
            "training:\n  rounds: abc",
            "2:3: training.rounds: found \"abc\", " + roundsRule
        ),
        (
            "training:\n  rounds: 0",
            "2:3: training.rounds: found \"0\", " + roundsRule
        ),
        (
            "training:\n  rounds: 1.5",
            "2:3: training.rounds: found \"1.5\", " + roundsRule
        ),
        (
            "training:\n  rounds:",
            "2:3: training.rounds: found nothing, " + roundsRule
        ),
        (
            "training:\n  rounds: [1, 2]",
            "2:3: training.rounds: found a list of 2, " + roundsRule
        ),
        (
            "training:\n  rounds: {a: 1}",
            "2:3: training.rounds: found a group of keys (a), " + roundsRule
        ),
        ("training: 5", "1:11: training is a group of keys, but \"5\" was found"),
        (
            "training.quorum: 0",
            "1:1: training.quorum: found \"0\", allowed is a number above 0 and up to 1"
        ),
        (
            "training.quorum: nan",
            "1:1: training.quorum: found \"nan\", allowed is a number above 0 and up to 1"
        ),
        (
            "training.quorum: .inf",
            "1:1: training.quorum: found \".inf\", allowed is a number above 0 and up to 1"
        ),
        (
            "training.outer.nesterov: maybe",
            "1:1: training.outer.nesterov: found \"maybe\", allowed is true or false"
        ),
        (
            "training.inner.optimizer: lion",
            "1:1: training.inner.optimizer: found \"lion\", allowed is adamw or sgd"
        ),
        ("training.codec: zip", "1:1: training.codec: found \"zip\", allowed is \(codecs)"),
        (
            "training.mode: magic",
            "1:1: training.mode: found \"magic\", allowed is edit or a-edit or async"
        ),
        (
            "name: Über",
            "1:1: name: found \"Über\", " + nameRule
        ),
        (
            "name: ../up",
            "1:1: name: found \"../up\", " + nameRule
        ),
        ("corpus: []", "1:1: corpus: found a list of 0, allowed is a path or a list of paths"),
        (
            "cluster.host: a b",
            "1:1: cluster.host: found \"a b\", allowed is a host name or address"
        ),
        ("seed: 1\nseed: 2", "1:1: given twice: seed"),
        ("training.rounds: 20\ntraining:\n  rounds: 21", "3:3: given twice: training.rounds"),
        ("- a\n- b", "1:1: expected keys with values, a list of 2 found"),
        ("just words", "1:1: expected keys with values, \"just words\" found"),
        ("seed: [1", "2:1: not YAML: did not find expected ',' or ']'"),
        ("\tseed: 1", "1:1: not YAML: found character that cannot start any token"),
        (
            "model: {heads: 4, kv_heads: 3}",
            "1:19: model.kv_heads: found 3, allowed is a divisor of model.heads, which is 4"
        ),
        (
            "training: {clip: {adaptive: true}, outer: {clip_norm: 10}}",
            "1:19: training.clip.adaptive: found true, allowed is false where "
                + "training.outer.clip_norm is set, which is 10"
        ),
        (
            "training: {clip: {first_round: 30}}",
            "1:19: training.clip.first_round: found 30, allowed is at most "
                + "training.clip.last_round, which is 20"
        ),
        ("model: {head_dim: 31}", "1:9: model.head_dim: found 31, allowed is an even number"),
        (
            "model: {experts: 2, experts_per_token: 3}",
            "1:21: model.experts_per_token: found 3, allowed is at most model.experts, which is 2"
        ),
        (
            "training: {rounds: 20, warmup_rounds: 30}",
            "1:24: training.warmup_rounds: found 30, "
                + "allowed is at most training.rounds, which is 20"
        ),
    ])
    func everyMistakeInAFileHasItsLine(_ yaml: String, _ expected: String) {
        let error = #expect(throws: ConfigurationError.self) { try load(yaml) }
        #expect(error?.description == "run.yaml:" + expected)
    }

    @Test(arguments: [
        (
            "training: {mode: async, merge: radial}",
            "1:25: training.merge: found radial, allowed is mean where training.mode is async, "
                + "which has no rounds to merge"
        ),
        (
            "training: {step_weight: 0.5}",
            "1:12: training.step_weight: found 0.5, allowed is 0 where training.weighting is "
                + "relative; only edit knows it"
        ),
        (
            "training: {masks: {bias: 1}}",
            "1:20: training.masks.bias: found 1, allowed is 0 where training.masks.bias_steps "
                + "is 0; set the steps over which it falls"
        ),
    ])
    func whatAModeOrAWeightingDoesNotKnowIsRefused(_ yaml: String, _ expected: String) {
        let error = #expect(throws: ConfigurationError.self) { try load(yaml) }
        #expect(error?.description == "run.yaml:" + expected)
    }

    @Test(
        "A key that the model's folder decides is refused beside it, wherever it is given",
        arguments: ConfigurationTable.architecture.map(\.name))
    func theFolderDecides(_ name: String) throws {
        let key = try #require(ConfigurationTable.byName[name])
        // Its default, so that the value itself is no mistake.
        let value = key.yaml(RunConfiguration())
        let mistake =
            "\(name): found \(value), allowed is nothing where model.from is set; "
            + "old/config.json says it"
        let file = #expect(throws: ConfigurationError.self) {
            try load("model.from: old\n\(name): \(value)")
        }
        #expect(file?.description == "run.yaml:2:1: \(mistake)")
        let flag = #expect(throws: ConfigurationError.self) {
            try load("model: {from: old}", [:], ["\(name)=\(value)"])
        }
        #expect(flag?.description == "flag --set \(name)=\(value): \(mistake)")
        let variable = #expect(throws: ConfigurationError.self) {
            try load("", [key.environmentVariable: value, "MARTLET_MODEL_FROM": "old"])
        }
        #expect(
            variable?.description
                == "environment variable \(key.environmentVariable): \(mistake)")
    }

    @Test("Beside a model's folder the length of sequences may be given; an empty one is none")
    func theLengthOfSequencesIsFree() throws {
        let loaded = try load("model: {from: old, sequence_length: 64}")
        #expect(loaded.configuration.modelFolder == "old")
        #expect(loaded.configuration.run.sequenceLength == 64)
        let fresh = try load("model: {from: old, layers: 2}", [:], ["model.from="])
        #expect(fresh.configuration.modelFolder == nil)
        #expect(fresh.configuration.model.layers == 2)
    }

    @Test(arguments: [
        ("{pull_codec: topk/512, outer: {momentum: 0.8}}", "topk/512 and"),
        ("{codec: topk, outer: {momentum: 0.8}}", "topk/144, from auto, and"),
        ("{codec: topk, pull_codec: int4, outer: {momentum: 0.8}}", nil),
        ("{codec: topk, outer: {momentum: 0}}", nil), ("{outer: {momentum: 0.9}}", nil),
    ])
    func sparsePullsWithMomentumAreWarnedOf(_ training: String, _ expected: String?) throws {
        let warnings = try load("training: " + training).warnings
        #expect(warnings.count == (expected == nil ? 0 : 1))
        guard let expected else { return }
        #expect(warnings.first?.hasPrefix("training.pull_codec is \(expected)") == true)
        #expect(warnings.first?.contains("training.outer.momentum to 0") == true)
    }

    @Test("Masks alone, of a model that nobody has trained, are warned of")
    func masksOfARandomModelAreWarnedOf() throws {
        for training in ["mask-only", "mask+router"] {
            let yaml = "training.masks.training: \(training)"
            let warnings = try load(yaml).warnings
            #expect(warnings.count == 1)
            #expect(warnings.first?.hasPrefix("training.masks.training is \(training) and") == true)
            #expect(try load("\(yaml)\nmodel.from: old").warnings.isEmpty)
        }
        #expect(try load("training.masks.training: all").warnings.isEmpty)
        #expect(try load("training.masks.training: off").warnings.isEmpty)
    }

    @Test(arguments: [
        "[]", "0", "65", "many", "[a]", "[{name: A}]", "[{name: a}, {name: a}]",
        "[{name: a, throttle: 0}]", "[{name: a, throttle: 1.1}]", "[{name: a, threads: 0}]",
        "[{throttle: 1}]", "[{name: a, speed: 1}]",
    ])
    func impossibleWorkersAreRefused(_ text: String) {
        let error = #expect(throws: ConfigurationError.self) {
            try load("cluster:\n  workers: \(text)")
        }
        #expect(error?.description.hasPrefix("run.yaml:2:3: cluster.workers: found ") == true)
    }

    @Test func mistakesInFlagsAndEnvironmentNameTheirPlace() {
        let flag = #expect(throws: ConfigurationError.self) {
            try load("", [:], ["training.round=5"])
        }
        #expect(
            flag?.description == "flag --set training.round=5: unknown key training.round; "
                + "the nearest known key is training.rounds")
        let bare = #expect(throws: ConfigurationError.self) { try load("", [:], ["seed"]) }
        #expect(bare?.description == "flag --set seed: expected KEY=VALUE")
        let value = #expect(throws: ConfigurationError.self) { try load("", ["MARTLET_SEED": "x"]) }
        #expect(
            value?.description == "environment variable MARTLET_SEED: seed: found \"x\", "
                + "allowed is a whole number from 0 to 18446744073709551615")
        let unknown = #expect(throws: ConfigurationError.self) {
            try load("", ["MARTLET_SEEED": "1"])
        }
        #expect(
            unknown?.description
                == "environment variable MARTLET_SEEED: unknown key MARTLET_SEEED; "
                + "the nearest known key is MARTLET_SEED")
    }

    @Test func losersAreCheckedToo() {
        #expect(throws: ConfigurationError.self) { try load("seed: x", [:], ["seed=1"]) }
    }

    @Test func socketMustFit() {
        let folder = String(repeating: "x", count: 100)
        let error = #expect(throws: ConfigurationError.self) { try load("folder: \(folder)") }
        #expect(
            error?.message.hasPrefix("folder: found 112, allowed is a socket path of up to 107")
                == true)
    }

    private func load(
        _ yaml: String, _ environment: [String: String] = [:], _ settings: [String] = []
    ) throws(ConfigurationError) -> LoadedConfiguration {
        try LoadedConfiguration(
            file: ("run.yaml", yaml), environment: environment, settings: settings)
    }
}
