import Foundation
import LocalSGD
import MoE
import Roles
import Storage
import Tensors
import Testing

@testable import martlet

@Suite("Convergence, measured")
struct ConvergenceTests {
    static let plan: ConvergencePlan = {
        var plan = ConvergencePlan.quick
        plan.hiddenSize = 16
        plan.layers = 1
        plan.expertHiddenSize = 16
        plan.sequenceLength = 16
        plan.batchSize = 1
        plan.syncInterval = 4
        plan.tokens = 18 * 4 * 16
        plan.heldOutSequences = 4
        plan.curvePoints = 4
        return plan
    }()

    static let corpus: Corpus = {
        let documents = (0..<30).map { index in
            let bytes = (0..<400).map { (place: Int) -> UInt8 in
                UInt8(97 + (place * place + index * 7) % 23)
            }
            return CorpusDocument(name: "\(index)", bytes: bytes)
        }
        return Corpus(documents: documents)
    }()

    static func result(
        _ method: String, _ condition: ConvergenceCondition = .even, seed: UInt64 = 1,
        plan: ConvergencePlan = ConvergenceTests.plan
    ) throws -> ConvergenceResult {
        let tokens = try TokenSource(
            corpus: corpus, sequenceLength: plan.sequenceLength, seed: seed)
        let run = ConvergenceCase(method: method, codec: "raw", condition: condition)
        return try ConvergenceRun(plan: plan, run: run, seed: seed, tokens: tokens).result()
    }

    static func encoded(_ result: ConvergenceResult) throws -> [UInt8] {
        let folder = ConvergenceFolder(path: NSTemporaryDirectory() + UUID().uuidString)
        defer { try? FileManager.default.removeItem(atPath: folder.path) }
        try folder.write(result)
        #expect(try folder.results() == [result])
        let name = ConvergenceFolder.name(result.run, seed: result.seed)
        return try AtomicFile.read("\(folder.path)/runs/\(name).json")
    }

    @Test("The same seed gives the same file, another seed another")
    func determinism() throws {
        let first = try Self.encoded(Self.result("edit", .straggler))
        #expect(try Self.encoded(Self.result("edit", .straggler)) == first)
        #expect(try Self.encoded(Self.result("edit", .straggler, seed: 2)) != first)
    }

    @Test("On equal machines every step takes its second, and every token is applied once")
    func evenSpeeds() throws {
        for method in ["dp", "edit"] {
            let result = try Self.result(method)
            #expect(result.appliedTokens == Self.plan.tokens)
            #expect(result.lostTokens == 0)
            #expect(result.workers.map(\.steps) == [18, 18, 18, 18])
            #expect(result.workers.map(\.busySeconds) == [18, 18, 18, 18])
            #expect(result.speedOfWorkers == 64)
            #expect(result.seconds > 18 && result.seconds < 19.5)
            #expect(result.curve.last?.loss == result.heldOutLoss)
            #expect((result.curve.first?.loss ?? 0) > result.heldOutLoss)
        }
    }

    @Test("A straggler takes four times as long, and who waits for it is idle")
    func stragglerSpeeds() throws {
        let (even, result) = (try Self.result("dp"), try Self.result("dp", .straggler))
        let stalls = result.workers.enumerated().map { index, worker in
            (worker.busySeconds - (index == 3 ? 72 : 18)) / Self.plan.stallSeconds
        }
        #expect(stalls.allSatisfy { $0 >= 0 && $0 == $0.rounded() })
        #expect(stalls.contains { $0 > 0 })
        // Time changes nothing in what is computed.
        #expect(result.heldOutLoss == even.heldOutLoss)
        #expect(result.seconds > 72 && result.idleShare > 0.4)
    }

    @Test("Every byte of a raw gradient is on the line, and some more")
    func traffic() throws {
        let result = try Self.result("dp")
        let payload = result.parameters * 4 * 18
        for worker in result.workers {
            #expect(worker.bytesUp > payload && worker.bytesUp < payload * 5 / 4)
            #expect(worker.bytesDown > payload && worker.bytesDown < payload * 3 / 2)
        }
        let rare = try Self.result("edit")
        // 6 steps of warm-up and 3 rounds.
        #expect(rare.workers[0].bytesUp * 18 < result.workers[0].bytesUp * 10)
    }

    @Test("A worker on random tokens does harm")
    func corruption() throws {
        #expect(try Self.result("corrupted").heldOutLoss > Self.result("edit").heldOutLoss)
    }

    @Test("A worker on random tokens masks as it is told, and tells what is left")
    func corruptionWithMasks() {
        var model = Self.plan.model
        model.masksExperts = true
        let length = Self.plan.sequenceLength
        let objective = RandomTokens(
            TransformerObjective<Float>(configuration: model, batch: 1, sequenceLength: length),
            seed: 1)
        let parameters = model.initialParameters(seed: 1)
        let gradients = FloatBuffer(count: parameters.count)
        func masks(_ masking: Masking) -> [MaskTally] {
            _ = objective.gradients(
                of: parameters, tokens: [Int32](repeating: 97, count: length + 1), sequences: 1,
                masking: masking, into: gradients)
            return objective.masks
        }
        #expect(masks(.off).isEmpty)
        // One layer, whose fresh masks leave both of each token's experts.
        #expect(masks(Masking(.training)).map(\.live) == [2 * length])
    }

    @Test("A plan is warm-up and whole rounds, and refuses too little")
    func plans() throws {
        for tokens in [70_000, 2_000_000, 3_999_999] {
            var plan = ConvergencePlan()
            plan.tokens = tokens
            let settings = try plan.settings(seed: 1)
            #expect(settings.totalSteps == plan.steps)
            #expect(settings.rounds.warmup >= plan.steps / 16)
        }
        var plan = Self.plan
        try plan.check(Self.corpus)
        plan.tokens = 200
        #expect(throws: CommandError.self) { try plan.check(Self.corpus) }
        plan.tokens = 12_000
        #expect(throws: CommandError.self) { try plan.check(Self.corpus) }
        plan = Self.plan
        plan.overrides = ["training.overlap.steps=3", "training.outer.momentum=0.1"]
        try plan.check(Self.corpus)
        let run = ConvergenceCase(method: "async", codec: "topk/256", condition: .straggler)
        #expect(run.name == "async.topk-256.straggler")
        let settings = try run.settings(plan, seed: 1)
        #expect(settings.overlap.steps == 3 && settings.mode == .asynchronous)
        #expect(settings.outer.momentum == plan.sparseOuterMomentum)
        plan.overrides = ["seed=3"]
        #expect(throws: CommandError.self) { try plan.check(Self.corpus) }
        plan.overrides = ["training.masks.training=all"]
        #expect(throws: CommandError.self) { try plan.check(Self.corpus) }
        plan.overrides = ["training.overlap.step=3"]
        #expect(throws: ConfigurationError.self) { try plan.check(Self.corpus) }
    }

    @Test("What is unknown or missing is refused by name")
    func refusals() {
        for (method, codec) in [("edti", "raw"), ("edit", "morse")] {
            #expect(throws: CommandError.self) {
                try ConvergenceCase.combinations(
                    methods: [method], codecs: [codec], conditions: [.even])
            }
        }
    }

    @Test("Time to a target lies between two measurements")
    func timeToTarget() throws {
        var result = try Self.result("edit")
        result.curve = [
            .init(tokens: 0, seconds: 0, loss: 5), .init(tokens: 1, seconds: 10, loss: 3),
            .init(tokens: 2, seconds: 30, loss: 2),
        ]
        #expect(result.seconds(to: 4) == 5)
        #expect(result.seconds(to: 2.5) == 20)
        #expect(result.seconds(to: 2) == 30)
        #expect(result.seconds(to: 1.9) == nil)
    }

    @Test("What is finished is not made again, and another plan is refused")
    func resumption() throws {
        let folder = ConvergenceFolder(path: NSTemporaryDirectory() + UUID().uuidString)
        defer { try? FileManager.default.removeItem(atPath: folder.path) }
        let cases = [ConvergenceCase(method: "edit", codec: "raw", condition: .even)]
        func benchmark(_ plan: ConvergencePlan, seeds: Int) throws -> ConvergenceBenchmark {
            try ConvergenceBenchmark(
                plan, cases: cases, seeds: seeds, corpus: Self.corpus, folder: folder)
        }
        try benchmark(Self.plan, seeds: 1).run(parallel: 1)
        #expect(try benchmark(Self.plan, seeds: 1).count == 0)
        #expect(try benchmark(Self.plan, seeds: 3).count == 2)
        var other = Self.plan
        other.learningRate *= 2
        #expect(throws: CommandError.self) { try benchmark(other, seeds: 1) }
        let report = try #require(ConvergenceReport(folder.results(), plotFolder: "p"))
        #expect(report.markdown.contains("| EDiT | 1 |"))
        #expect(report.markdown.contains("synchronous \(Self.plan.synchronousLearningRate); outer"))
        #expect(report.markdown.contains("(p/even-time.svg)"))
        #expect(report.plots.map(\.name) == ["even-tokens.svg", "even-time.svg"])
    }

    @Test("Axes have round ticks around all points")
    func axes() {
        let axis = Axis(from: 1.23, to: 4.07, pixels: 100...400)
        #expect(
            axis.ticks.map { Axis.label($0, step: axis.step) } == [
                "1.0", "1.5", "2.0", "2.5", "3.0", "3.5", "4.0", "4.5",
            ])
        #expect(abs(axis.place(1) - 100) < 1e-9 && abs(axis.place(4.5) - 400) < 1e-9)
        let plot = LinePlot(
            title: "a < b", xLabel: "x", yLabel: "y",
            series: [.init(name: "s", lines: [[(0, 9), (1, 2), (2, 1)]])])
        #expect(plot.svg.contains("a &lt; b"))
        #expect(plot.svg.components(separatedBy: "<polyline").count > 10)
    }
}
