import Foundation
import LocalSGD
import Tensors
import Testing

@testable import martlet

@Suite("Masks beside fewer experts, what was asked")
struct MaskJudgeTests {
    static let plan: MaskPlan = {
        var plan = MaskPlan()
        plan.coefficients = [0.1, 0.4]
        plan.targets = [2]
        plan.reduced = [1, 2]
        return plan
    }()

    /// A measurement of a model of top-4 with `active` live experts in each of two layers.
    static func point(_ loss: Double, _ active: Double = 4) -> MaskResult.Point {
        var point = MaskResult.Point(loss: loss, choices: 4)
        if active < 4 {
            var tally = MaskTally()
            tally.tokens = 100
            tally.live = Int(active * 100)
            point.layers = [MaskShare(tally), MaskShare(tally)]
        }
        return point
    }

    /// Results that meet all that is asked with the weight 0.1.
    static var results: [MaskRun: MaskResult] {
        var results: [MaskRun: MaskResult] = [:]
        func add(_ run: MaskRun, _ point: MaskResult.Point) {
            var result = MaskResult(plan: plan, run: run)
            result.whole = point
            results[run] = result
        }
        add(.base, point(1))
        add(.continued, point(0.9))
        add(.reduced(1), MaskResult.Point(loss: 1.1, choices: 1))
        add(.reduced(2), MaskResult.Point(loss: 1, choices: 2))
        add(.masked(0.1), point(1.01, 1.5))
        add(.masked(0.4), point(1.2, 0.5))
        add(.steered(2), point(1.005, 2))
        func pruned(
            _ loss: Double, _ active: Double, probability: Double, renormalizes: Bool = false
        ) -> MaskResult.Pruned {
            MaskResult.Pruned(
                choices: 4, probability: probability, renormalizes: renormalizes,
                point: point(loss, active))
        }
        results[.continued]?.pruned = [
            pruned(1.5, 1, probability: 1), pruned(1.3, 2, probability: 1),
            pruned(1.4, 1.2, probability: 0.5),
            // No straight line goes from the one way to the other.
            pruned(1.6, 1, probability: 1, renormalizes: true),
            pruned(1.25, 2, probability: 1, renormalizes: true),
            pruned(2, 1.3, probability: 0.5, renormalizes: true),
        ]
        return results
    }

    private func judge(_ results: [MaskRun: MaskResult]) -> MaskJudge {
        MaskJudge(results, plan: Self.plan)
    }

    @Test("Others are taken with as many live experts, between two of their points")
    func others() throws {
        let comparisons = judge(Self.results).comparisons
        try #require(comparisons.map(\.run) == [.masked(0.1), .masked(0.4), .steered(2)])
        let expected: [[Double]] = [
            [1.05, 1.4, 1.4 - 0.5 * 0.3 / 2.8],
            // Nothing has so few: the fewest there are.
            [1.1, 1.5, 1.4],
            [1, 1.25, 1.4 - 0.5 * 0.8 / 2.8],
        ]
        for (comparison, losses) in zip(comparisons, expected) {
            for (loss, wanted) in zip(comparison.others, losses) {
                let found = try #require(loss)
                #expect(abs(found - wanted) < 1e-9)
            }
        }
        #expect(comparisons.map(\.isBest) == [true, false, false])
    }

    @Test("The masks that are judged remove enough, keep the loss, and are furthest ahead")
    func judged() throws {
        let judge = judge(Self.results)
        #expect(judge.judged?.run == .masked(0.1))
        #expect(judge.sparsest(beside: judge.base)?.run == .masked(0.1))
        #expect(judge.verdicts.map(\.met) == [.yes, .yes, .yes, .yes])
        #expect(judge.verdicts[0].asked == "at most +2 %")
        #expect(judge.verdicts[0].measured == "+1.00 %: 1.0100 with 1.50 live experts, 1.0000")
        #expect(judge.verdicts[1].measured == "-3.81 %: 1.0100 with 1.50 live experts, 1.0500")
    }

    @Test("What is missed is said to be")
    func missed() throws {
        // Further ahead than the others, and too many experts for it to count.
        var results = Self.results
        results[.masked(0.1)]?.whole = Self.point(0.8, 2.1)
        #expect(judge(results).judged?.run == .steered(2))
        #expect(judge(results).verdicts.map(\.met) == [.yes, .no, .yes, .yes])
        // Better than all others, and too much loss.
        results = Self.results
        results[.masked(0.1)]?.whole = Self.point(1.03, 1.5)
        results[.steered(2)]?.whole = Self.point(1.04, 2)
        #expect(judge(results).judged?.run == .masked(0.1))
        #expect(judge(results).verdicts.map(\.met) == [.no, .yes, .yes, .yes])
        #expect(judge(results).sparsest(beside: Self.point(1)) == nil)
    }

    @Test("Without the runs that it takes nothing is judged")
    func notRun() throws {
        var results = Self.results
        results[.reduced(1)] = nil
        results[.reduced(2)] = nil
        #expect(judge(results).verdicts.map(\.met) == [.yes, .notRun, .yes, .yes])
        #expect(judge(results).comparisons.allSatisfy { !$0.isBest })
        results[.continued] = nil
        #expect(judge(results).verdicts.map(\.met) == [.yes, .notRun, .notRun, .notRun])
        #expect(judge([:]).verdicts.map(\.met) == [.notRun, .notRun, .notRun, .notRun])
    }

    @Test("The page has every verdict, every model and the comparison")
    func page() throws {
        let report = try #require(
            MaskReport(Self.results.values.sorted { $0.run.name < $1.run.name }, plotFolder: "p"))
        for line in Verdict.table(report.verdicts) { #expect(report.markdown.contains(line)) }
        let page = report.markdown
        #expect(page.contains("| masks, 0.1 | 1.50 | 1.0100 | 1.0500 | 1.4000 | 1.3464 | yes |"))
        #expect(page.contains("| masks, steered to 2.0 | 2.00 | 1.0050 |"))
        #expect(page.contains("| base, trained on | 4.00 | 0.0 % | 0.0 % |  | 0.9000 | -10.00 % |"))
        #expect(
            page.contains(
                "Within 2 % of the base, masks remove up to 62.5 % of the experts' work: masks,"
                    + " 0.1, at a loss of 1.0100. No masks stay within 2 % of the base trained on.")
        )
    }

    @Test("The page tells of other seeds, and whether what was asked is met with them")
    func otherSeeds() throws {
        func report(_ second: [MaskRun: MaskResult]) throws -> MaskReport {
            let other = second.values.map { result in
                var result = result
                result.plan.seed = 7
                return result
            }
            return try #require(MaskReport(other + Self.results.values, plotFolder: "p"))
        }
        var second = Self.results
        second[.masked(0.1)]?.whole = Self.point(1.02, 1.5)
        let met = try report(second)
        #expect(met.markdown.contains("\n- Seed 1: "))
        #expect(met.markdown.contains("All that was asked is met with every seed."))
        #expect(
            met.markdown.contains(
                "| 1 | masks, 0.1 | 1.50 | 62.5 % | 1.0100 | +1.00 % | +12.22 % | -3.81 % |"))
        #expect(
            met.markdown.contains(
                "| 7 | masks, 0.1 | 1.50 | 62.5 % | 1.0200 | +2.00 % | +13.33 % | -2.86 % |"))
        // All else is of the first seed.
        #expect(met.verdicts == MaskJudge(Self.results, plan: Self.plan).verdicts)
        second[.masked(0.1)]?.whole = Self.point(1.06, 1.5)
        let missed = try report(second).markdown
        #expect(missed.contains("Not all that was asked is met with seed 7."))
        #expect(missed.contains("make beam SEEDS=2 "))
        second = Self.results
        second[.reduced(1)] = nil
        second[.reduced(2)] = nil
        #expect(try report(second).markdown.contains("There are runs missing of seed 7."))
        // Also of the first one.
        let first = Self.results.values.map { result in
            var result = result
            if result.run == .base { result.whole.loss = 0.5 }
            return result
        }
        let met7 = Self.results.values.map { result in
            var result = result
            result.plan.seed = 7
            return result
        }
        let page = try #require(MaskReport(first + met7, plotFolder: "p")).markdown
        #expect(page.contains("Not all that was asked is met with seed 1."))
        let alone = try #require(MaskReport(Array(Self.results.values), plotFolder: "p"))
        #expect(!alone.markdown.contains("## Seeds"))
    }

    /// The runs that docs/beam.md is made of.
    @Test("Runs that are kept are of the plan of `make beam`, and make its page")
    func kept() throws {
        let documents = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .resolvingSymlinksInPath().deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("docs")
        let results = try MaskFolder(path: documents.appendingPathComponent("beam").path).results()
        var plan = MaskPlan()
        plan.corpus = try #require(results.first).plan.corpus
        for result in results {
            #expect(plan.isComparable(with: result.plan), "\(result.run.name)")
        }
        for seed in Set(results.map(\.plan.seed)) {
            let runs = results.filter { $0.plan.seed == seed }.map(\.run)
            #expect(runs.count == plan.runs.count && Set(runs) == Set(plan.runs))
        }
        let report = try #require(MaskReport(results, plotFolder: "beam"))
        let page = try String(
            contentsOf: documents.appendingPathComponent("beam.md"), encoding: .utf8)
        let isCurrent = page == report.markdown
        #expect(isCurrent, "make it again: martlet bench beam --into docs/beam --page docs/beam.md")
        #expect(report.verdicts.allSatisfy { $0.met == .yes })
    }
}
