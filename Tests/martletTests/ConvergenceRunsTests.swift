import Foundation
import Testing

@testable import martlet

/// T22 and T23 with the runs that docs/convergence.md is made of.
///
/// They are hours of real training, and kept. What is exact is run here, too, on a tiny scale. The
/// page says which of its narrower bounds the runs miss; those here are T22's and T23's own.
@Suite("Convergence, the runs that are kept")
struct ConvergenceRunsTests {
    private static let documents = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .resolvingSymlinksInPath().deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("docs")

    /// Synchronous training, EDiT, A-EDiT, and no rounds with delayed Nesterov.
    private static let methods = ["dp", "edit", "a-edit", "async"]

    /// All runs, read once.
    private static let loaded: Result<[ConvergenceResult], any Error> = Result {
        let folder = Self.documents.appendingPathComponent("convergence").path
        return try ConvergenceFolder(path: folder).results()
    }

    private let results: [ConvergenceResult]

    init() throws { results = try Self.loaded.get() }

    /// The runs of `method`, one per seed.
    private func kept(_ method: String, _ codec: String = "raw") throws -> ConvergenceGroup {
        let run = ConvergenceCase(method: method, codec: codec, condition: .straggler)
        let groups = ConvergenceGroup.groups(of: results)
        return try #require(groups.first { $0.run == run }, "no run of \(run.name) is kept")
    }

    @Test("Runs that are kept are of one plan, that of `make convergence`, and make its page")
    func page() throws {
        var plan = ConvergencePlan()
        plan.corpus = try #require(results.first).plan.corpus
        for result in results {
            #expect(result.plan == plan, "\(result.run.name), seed \(result.seed)")
        }
        let report = try #require(ConvergenceReport(results, plotFolder: "convergence"))
        let page = try String(
            contentsOf: Self.documents.appendingPathComponent("convergence.md"), encoding: .utf8)
        let isCurrent = page == report.markdown
        #expect(
            isCurrent,
            "martlet bench convergence --into docs/convergence --page docs/convergence.md")
    }

    // MARK: T22

    @Test("T22: with three seeds, EDiT, A-EDiT and async end within 3 % of synchronous training")
    func quality() throws {
        let synchronous = try kept("dp").mean(\.heldOutLoss)
        for method in Self.methods {
            let runs = try kept(method)
            #expect(runs.results.map(\.seed) == [1, 2, 3], "\(method)")
            #expect(runs.mean(\.heldOutLoss) <= 1.03 * synchronous, "\(method)")
        }
    }

    @Test("T22: methods begin with one model, and none sees a text twice or loses some")
    func budget() {
        var starts: [UInt64: Set<Double>] = [:]
        for result in results {
            let start = result.curve.first
            #expect(start?.tokens == 0)
            starts[result.seed, default: []].insert(start?.loss ?? .infinity)
            Self.expectBudget(result)
        }
        for (seed, losses) in starts.sorted(by: { $0.key < $1.key }) {
            #expect(losses.count == 1, "seed \(seed)")
        }
    }

    @Test("T22: int4 updates end within 1 % of raw ones", arguments: ["edit", "a-edit", "async"])
    func compression(_ method: String) throws {
        let raw = try kept(method).mean(\.heldOutLoss)
        #expect(try kept(method, "int4").mean(\.heldOutLoss) <= 1.01 * raw)
    }

    @Test("T22: plain Nesterov on stale pushes is worse than delayed by 5 % at least")
    func plainNesterov() throws {
        let delayed = try kept("async")
        let plain = try kept("async-plain")
        #expect(plain.mean(\.heldOutLoss) >= 1.05 * delayed.mean(\.heldOutLoss))
        // And not by one bad seed.
        let best = plain.results.map(\.heldOutLoss).min() ?? 0
        #expect(best > delayed.results.map(\.heldOutLoss).max() ?? .infinity)
    }

    @Test("T22: a worker on random tokens costs 3 % with the penalty off, and less with it on")
    func randomTokens() throws {
        let clean = try kept("edit").mean(\.heldOutLoss)
        let off = try kept("corrupted").mean(\.heldOutLoss)
        let on = try kept("corrupted-guarded").mean(\.heldOutLoss)
        #expect(off >= 1.03 * clean)
        #expect(on <= 1.03 * clean)
    }

    @Test("T22: in a tiny run every method begins with the same model, and uses its budget once")
    func tinyBudget() throws {
        let results = try Self.methods.map { try ConvergenceTests.result($0, .straggler) }
        for result in results {
            #expect(result.curve.first == results[0].curve.first, "\(result.run.name)")
            #expect(result.heldOutLoss < result.curve[0].loss, "\(result.run.name)")
            Self.expectBudget(result)
        }
    }

    /// All of the budget was applied, and nothing beyond what the text must have.
    private static func expectBudget(_ result: ConvergenceResult) {
        let plan = result.plan
        let least = plan.steps * plan.workers * plan.tokensPerStep
        let name = "\(result.run.name), seed \(result.seed)"
        #expect(result.appliedTokens >= least, "\(name)")
        #expect(result.appliedTokens < plan.textTokensMin, "\(name)")
        #expect(result.lostTokens == 0, "\(name)")
    }

    // MARK: T23

    @Test("T23: with a straggler, stalls and 100 Mbit/s, A-EDiT has 97 % of all workers' speeds")
    func speed() throws {
        let runs = try kept("a-edit")
        for result in runs.results {
            let plan = result.plan
            #expect(plan.workers == 4 && plan.straggling == 4 && plan.linkMegabits == 100)
            #expect(plan.stallChance == 0.1 && plan.stallSeconds == 5)
            #expect(result.speed >= 0.97 * result.speedOfWorkers, "seed \(result.seed)")
        }
        // Who waits for the slowest at every round has less than half of it.
        let waiting = try kept("edit")
        #expect(waiting.mean { $0.speed / $0.speedOfWorkers } < 0.5)
        #expect(runs.mean(\.idleShare) < waiting.mean(\.idleShare))
    }

    @Test("T23: A-EDiT is at 102 % of synchronous training's loss in half of its time")
    func timeToLoss() throws {
        let synchronous = try kept("dp")
        let target = 1.02 * synchronous.mean(\.heldOutLoss)
        let base = try #require(synchronous.seconds(to: target))
        let seconds = try #require(kept("a-edit").seconds(to: target))
        #expect(base >= 2 * seconds)
    }

    @Test("T23: the page reports times, bytes, idle time and tokens of all four methods")
    func reported() throws {
        let page = try #require(ConvergenceReport(results, plotFolder: "convergence")).markdown
        let columns = [
            "idle | to 102 % |", "| up per worker | down per worker |",
            "| applied tokens | lost tokens |",
        ]
        for column in columns { #expect(page.contains(column), "\(column)") }
        for method in Self.methods {
            // A line in each of the two tables.
            let title = try kept(method).run.title
            #expect(page.components(separatedBy: "\n| \(title) | ").count == 3, "\(title)")
        }
    }

    @Test("T23: in a tiny run the straggler sets the pace of rounds by steps, not of those by time")
    func tinyStraggler() throws {
        var plan = ConvergenceTests.plan
        plan.tokens = 60 * 64
        plan.stallChance = 0
        // Six of the straggler's steps, so that nobody waits for anybody.
        plan.syncSeconds = 24
        let timed = try ConvergenceTests.result("a-edit", .straggler, plan: plan)
        // Three have 16 tokens in a second, one has them in four.
        #expect(timed.speedOfWorkers == 52)
        #expect(timed.speed >= 0.97 * 52)
        for method in ["dp", "edit"] {
            let waiting = try ConvergenceTests.result(method, .straggler, plan: plan)
            #expect(waiting.workers.map(\.busySeconds) == [60, 60, 60, 240])
            #expect(waiting.speedOfWorkers == 52)
            #expect(waiting.speed >= 0.97 * 16 && waiting.speed <= 16)
            #expect(waiting.seconds > 2 * timed.seconds)
        }
    }
}
