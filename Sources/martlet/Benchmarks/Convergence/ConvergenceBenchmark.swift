import Dispatch
import FoundationEssentials
import Status
import Storage
import Synchronization
import Tensors

/// Runs what is missing of a comparison, several runs at a time, and writes each one's file.
final class ConvergenceBenchmark: Sendable {
    /// A run that is to be made.
    private struct Job: Sendable {
        let run: ConvergenceCase
        let seed: UInt64
    }

    private struct State {
        var waiting: [Job] = []
        /// Tokens trained on, by place among the jobs.
        var trained: [Int]
        var failure: (any Error)?
    }

    private let plan: ConvergencePlan
    private let folder: ConvergenceFolder
    private let corpus: Corpus
    private let jobs: [Job]
    private let state: Mutex<State>
    private let bar = ProgressBar()
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
        state = Mutex(
            State(waiting: jobs.reversed(), trained: [Int](repeating: 0, count: jobs.count)))
    }

    /// Runs left to be made.
    var count: Int { jobs.count }

    /// Makes them, `parallel` at a time, each on one thread.
    func run(parallel: Int) throws {
        KernelThreads.set(1)
        DispatchQueue.concurrentPerform(iterations: max(1, min(parallel, jobs.count))) { _ in
            while let (place, job) = next() {
                do { try make(job, at: place) } catch {
                    state.withLock {
                        $0.failure = $0.failure ?? error
                        $0.waiting = []
                    }
                }
            }
        }
        bar.clear()
        if let failure = state.withLock({ $0.failure }) { throw failure }
    }

    private func next() -> (place: Int, job: Job)? {
        state.withLock { state in
            let place = jobs.count - state.waiting.count
            return state.waiting.popLast().map { (place, $0) }
        }
    }

    private func make(_ job: Job, at place: Int) throws {
        let started = clock.now
        let tokens = try TokenSource(
            corpus: corpus, sequenceLength: plan.sequenceLength, seed: job.seed)
        let run = ConvergenceRun(plan: plan, run: job.run, seed: job.seed, tokens: tokens)
        let result = try run.result { self.show($0, at: place) }
        try folder.write(result)
        bar.clear()
        let loss = Figures.fixed(result.heldOutLoss, digits: 4)
        let virtual = Figures.duration(result.seconds)
        let real = Figures.duration(started.duration(to: clock.now).seconds)
        Terminal.printNote(
            "\(job.run.name), seed \(job.seed): loss \(loss) after \(virtual) of virtual time,"
                + " computed in \(real)")
    }

    private func show(_ trained: Int, at place: Int) {
        let done = state.withLock { state in
            state.trained[place] = trained
            return state.trained.reduce(0) { $0 + min($1, plan.tokens) }
        }
        bar.show("training", done: done, of: plan.tokens * jobs.count)
    }
}
