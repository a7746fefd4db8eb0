import Codec
import LocalSGD

/// A way of training that is compared with others: a name and the settings that make it.
///
/// A new method, or a new codec, is one line in a table here.
struct ConvergenceMethod: Sendable {
    let name: String
    let title: String
    /// Whether the last worker trains on random tokens.
    var isCorrupted = false
    var set: @Sendable (ConvergencePlan, inout RunSettings) -> Void = { _, _ in }

    static let all = [
        ConvergenceMethod(name: "dp", title: "synchronous") { plan, settings in
            // Averaged gradients at every step are a warm-up that never ends.
            settings.rounds.warmup = plan.steps
            settings.rounds.total = plan.steps
            settings.inner.learningRate = plan.synchronousLearningRate
        },
        ConvergenceMethod(name: "edit", title: "EDiT"),
        ConvergenceMethod(name: "a-edit", title: "A-EDiT") { plan, settings in
            settings.mode = .aEdit
            settings.rounds.syncSeconds = plan.syncSeconds
        },
        ConvergenceMethod(name: "async", title: "asynchronous") { _, settings in
            settings.mode = .asynchronous
        },
        ConvergenceMethod(
            name: "async-plain", title: "asynchronous, plain Nesterov"
        ) { _, settings in
            settings.mode = .asynchronous
            settings.asynchronous.momentum = .plain
        },
        ConvergenceMethod(
            name: "corrupted", title: "EDiT, one worker on random tokens, penalty off",
            isCorrupted: true
        ) { _, settings in
            settings.rounds.weighting = .tokens
            settings.penalty.detectsAnomalies = false
            settings.penalty.learnsClip = false
        },
        ConvergenceMethod(
            name: "corrupted-guarded", title: "EDiT, one worker on random tokens, penalty on",
            isCorrupted: true),
    ]

    /// Codecs by name, for help.
    static let codecs = "raw, bf16, int8, int4, fp4, topk, topk/N"
    /// What everything is compared with.
    static let reference = "dp"
    /// The methods that `make convergence` also makes with codecs, and with which; the gradients of
    /// synchronous steps are always raw.
    static let coded: [(method: String, codecs: [String])] = [
        ("edit", ["int4", "topk/256"]),
        ("a-edit", ["int4", "int8", "bf16", "fp4", "topk", "topk/256"]),
        ("async", ["int4", "topk/256"]),
    ]

    static func named(_ name: String) -> ConvergenceMethod? { all.first { $0.name == name } }
}

/// One line of the comparison: a method with a codec under a condition.
struct ConvergenceCase: Codable, Hashable, Sendable {
    var method: String
    var codec: String
    var condition: ConvergenceCondition

    /// As files are called.
    var name: String {
        let codec = codec.map { $0 == "/" ? "-" : String($0) }.joined()
        return "\(method).\(codec).\(condition.rawValue)"
    }

    /// As tables have it.
    var title: String {
        let title = ConvergenceMethod.named(method)?.title ?? method
        return codec == "raw" ? title : "\(title), \(codec)"
    }

    /// All combinations, in the order of the tables.
    ///
    /// Throws where a name is unknown.
    static func combinations(
        methods: [String], codecs: [String], conditions: [ConvergenceCondition]
    ) throws -> [ConvergenceCase] {
        for name in methods {
            guard ConvergenceMethod.named(name) != nil else {
                let known = ConvergenceMethod.all.map(\.name).joined(separator: ", ")
                throw CommandError(.usage, "no method is called '\(name)'; there are \(known)")
            }
        }
        for codec in codecs where Codec(name: codec) == nil {
            throw CommandError(
                .usage, "no codec is called '\(codec)'; there are \(ConvergenceMethod.codecs)")
        }
        return conditions.flatMap { condition in
            methods.flatMap { method in
                codecs.map { ConvergenceCase(method: method, codec: $0, condition: condition) }
            }
        }
    }

    /// The settings of a run of it.
    func settings(_ plan: ConvergencePlan, seed: UInt64) throws -> RunSettings {
        var settings = try plan.settings(seed: seed)
        settings.codec = codec
        if Codec(name: codec)?.keepsResidual == true {
            settings.outer.momentum = plan.sparseOuterMomentum
            settings.outer.learningRate = plan.sparseOuterLearningRate
        }
        ConvergenceMethod.named(method)?.set(plan, &settings)
        return settings
    }
}
