import FoundationEssentials
import Status
import Storage

/// Runs what is missing of a comparison, several runs at a time, and writes each one's file.
final class ConvergenceBenchmark: Sendable {
    /// A run that is to be made.
    private struct Job: Sendable {
        let run: ConvergenceCase
        let seed: UInt64
    }

    private let plan: ConvergencePlan
    private let folder: ConvergenceFolder
    private let corpus: Corpus
    private let jobs: [Job]
    private let queue: RunQueue
    private let clock = ContinuousClock()

    /// All of `cases` for seeds 1 to `seeds`, but for those whose files are there.
    init(
        _ plan: ConvergencePlan, cases: [ConvergenceCase], seeds: Int, corpus: Corpus,
        folder: ConvergenceFolder
    ) throws {
        self.plan = plan
        self.folder = folder
        self.corpus = corpus
        let finished = try folder.results()
        if let other = finished.first(where: { $0.plan != plan }) {
            throw CommandError(
                .usage,
                "\(folder.path) holds runs of another plan or text, such as \(other.run.name); give"
                    + " the same --corpus and --tokens, or another --into")
        }
        let names = Set(finished.map { ConvergenceFolder.name($0.run, seed: $0.seed) })
        // Seed by seed, so that all methods have one before any has two.
        jobs = (1...UInt64(seeds)).flatMap { seed in cases.map { Job(run: $0, seed: seed) } }
            .filter { !names.contains(ConvergenceFolder.name($0.run, seed: $0.seed)) }
        queue = RunQueue(tokens: jobs.map { _ in plan.tokens })
    }

    /// Runs left to be made.
    var count: Int { jobs.count }

    /// Makes them, `parallel` at a time, each on one thread.
    func run(parallel: Int) throws {
        try queue.make(jobs.indices, parallel: parallel) { try make(jobs[$0], at: $0) }
    }

    private func make(_ job: Job, at place: Int) throws {
        let started = clock.now
        let tokens = try TokenSource(
            corpus: corpus, sequenceLength: plan.sequenceLength, seed: job.seed)
        let run = ConvergenceRun(plan: plan, run: job.run, seed: job.seed, tokens: tokens)
        let result = try run.result { [queue] in queue.show($0, at: place) }
        try folder.write(result)
        let loss = Figures.fixed(result.heldOutLoss, digits: 4)
        let virtual = Figures.duration(result.seconds)
        let real = Figures.duration(started.duration(to: clock.now).seconds)
        queue.note(
            "\(job.run.name), seed \(job.seed): loss \(loss) after \(virtual) of virtual time,"
                + " computed in \(real)")
    }
}
