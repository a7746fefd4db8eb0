import FoundationEssentials
import MoE
import Status
import Storage
import Tensors

/// Makes what is missing of a study of masks: the model first, then all that begins with it,
/// several runs at a time.
///
/// Every finished run is a file and a model's folder.
final class MaskStudy: Sendable {
    private let folder: MaskFolder
    private let training: MaskTraining
    private let missing: [MaskRun]
    private let queue: RunQueue
    private let clock = ContinuousClock()

    init(_ plan: MaskPlan, corpus: Corpus, folder: MaskFolder) throws {
        self.folder = folder
        training = MaskTraining(
            plan: plan,
            tokens: try TokenSource(
                corpus: corpus, sequenceLength: plan.sequenceLength, seed: plan.seed))
        let finished = try folder.results()
        if let other = finished.first(where: { !plan.isComparable(with: $0.plan) }) {
            throw CommandError(
                .usage,
                "\(folder.path) holds runs of another plan or text, such as \(other.run.name);"
                    + " give the same --corpus, or another --into")
        }
        missing = plan.runs.filter { run in
            !finished.contains { $0.run == run && $0.plan.seed == plan.seed }
        }
        queue = RunQueue(
            tokens: missing.map { $0 == .base ? plan.baseTokens : plan.tuneTokens })
    }

    /// Runs left to be made.
    var count: Int { missing.count }

    /// Makes them; those behind the first `parallel` at a time, each on one thread.
    func run(parallel: Int) throws {
        guard !missing.isEmpty else { return }
        try FileManager.default.createDirectory(
            atPath: folder.path + "/models", withIntermediateDirectories: true)
        // All others wait for the base, which has all processors until then.
        let first = missing.first == .base ? 1 : 0
        try queue.make(0..<first, parallel: 1, threads: parallel) { try make(at: $0, from: nil) }
        let base = try folder.start(.base, seed: training.plan.seed)
        try queue.make(first..<missing.count, parallel: parallel) { try make(at: $0, from: base) }
    }

    private func make(at place: Int, from start: MaskTraining.Start?) throws {
        let (run, started) = (missing[place], clock.now)
        let end = training.end(of: run, from: start) { queue.show($0, at: place) }
        guard end.result.whole.loss.isFinite else {
            throw CommandError(
                .defect,
                "\(folder.name(of: end.result)) diverged; give the plan lower learning rates")
        }
        try folder.write(end)
        let point = end.result.whole
        let real = Figures.duration(started.duration(to: clock.now).seconds)
        queue.note(
            "\(folder.name(of: end.result)): loss \(Figures.fixed(point.loss, digits: 4)) with"
                + " \(Figures.fixed(point.active, digits: 2)) experts a token, in \(real)")
    }
}

/// The folder of a study of masks: a file and a model for each run.
struct MaskFolder {
    let path: String

    private var files: ResultFolder<MaskResult> { ResultFolder(path: path) }

    /// As the files of a run are called; the first seed is the usual one.
    func name(of result: MaskResult) -> String { name(result.run, seed: result.plan.seed) }

    private func name(_ run: MaskRun, seed: UInt64) -> String {
        seed == 1 ? run.name : "\(run.name)-seed-\(seed)"
    }

    private func model(_ run: MaskRun, seed: UInt64) -> String {
        "\(path)/models/\(name(run, seed: seed))"
    }

    /// Writes the model and then the file, which says that the model is there.
    func write(_ end: MaskTraining.End) throws {
        let (run, seed) = (end.result.run, end.result.plan.seed)
        let model = model(run, seed: seed)
        if FileManager.default.fileExists(atPath: model) {
            try FileManager.default.removeItem(atPath: model)
        }
        let documents = CheckpointDocuments(
            configuration: Array(try end.configuration.configurationJSON()),
            contextLength: end.configuration.positionsMax)
        try ModelFolder.write(
            end.parameters, layout: end.configuration.layout, documents: documents.files, to: model)
        try files.write(end.result, name: name(of: end.result))
    }

    /// The model of a finished run.
    func start(_ run: MaskRun, seed: UInt64) throws -> MaskTraining.Start {
        let checkpoint = try CheckpointStore.resolve(model(run, seed: seed))
        let configuration = try ModelConfiguration(
            configurationJSON: Data(checkpoint.configuration))
        let layout = configuration.layout
        let parameters = FloatBuffer(count: layout.count)
        try checkpoint.loadParameters(layout: layout, into: parameters)
        return MaskTraining.Start(configuration: configuration, parameters: parameters)
    }

    /// All finished runs, in the order of their names.
    func results() throws -> [MaskResult] { try files.results() }
}
