import LocalSGD
import Status

/// The page of a study of masks: a table, a plot, and what the best masks come to.
struct MaskReport {
    /// One line of the table.
    private struct Row {
        let title: String
        let point: MaskResult.Point
    }

    private let plan: MaskPlan
    private let results: [MaskRun: MaskResult]
    private let judge: MaskJudge
    /// Of the other seeds, ascending.
    private let others: [(seed: UInt64, judge: MaskJudge)]
    private let plotFolder: String

    /// Of results of one plan, with one seed or several; nothing if there are none.
    init?(_ results: [MaskResult], plotFolder: String) {
        let seeds = Set(results.map(\.plan.seed)).sorted()
        guard let plan = results.first(where: { $0.plan.seed == seeds.first })?.plan else {
            return nil
        }
        let runs = seeds.map { seed in
            Dictionary(
                results.filter { $0.plan.seed == seed }.map { ($0.run, $0) }
            ) { first, _ in first }
        }
        let judges = runs.map { MaskJudge($0, plan: plan) }
        self.plan = plan
        self.results = runs[0]
        judge = judges[0]
        others = Array(zip(seeds, judges).dropFirst())
        self.plotFolder = plotFolder
    }

    /// The page.
    var markdown: String {
        ([
            "# Experts that are not needed, measured", "",
            "A mixture of experts learns which of its experts a token can do without (BEAM 2026),"
                + " beside the same model with fewer experts for all tokens:", "",
        ] + commands + [""] + setting + [""] + asked + ["", "## Masks beside others", ""]
            + comparisons
            + ["", "![Loss by live experts](\(plot))", ""] + seeds
            + [
                "## All models", "",
                "`tokens without` is the share of tokens that a layer has no live expert for.", "",
            ] + table + [""])
            .joined(separator: "\n")
    }

    /// What was asked, and whether it is met.
    var verdicts: [Verdict] { judge.verdicts }

    private var plot: String { "\(plotFolder)/experts.svg" }

    private var commands: [String] {
        let seeds = others.count + 1
        return [
            "```", "make beam  # from nothing, in under half an hour of two processors",
            seeds > 1 ? "make beam SEEDS=\(seeds)  # as long for each seed" : nil,
            "make beam INTO=docs/beam  # from its runs", "```",
        ].compactMap { $0 }
    }

    private var setting: [String] {
        let (K, masks) = (plan.expertsPerToken, plan.masks)
        return [
            "- Model: reads bytes, in fp32; \(plan.layers) layers of width \(plan.hiddenSize),"
                + " \(plan.experts) experts of \(plan.expertHiddenSize) a layer, top-\(K).",
            "- Base: \(plan.baseTokens) tokens of real text, each seen once, in steps of"
                + " \(plan.batchSize) sequences of \(plan.sequenceLength), at a learning rate of up"
                + " to \(plan.learningRate). All others train on \(plan.tuneTokens) more from"
                + " there, also the base itself, at up to \(plan.tuneLearningRate).",
            "- Masks: with `training.masks.training` \(masks.training.rawValue), their routers"
                + " at \(Figures.fixed(masks.rateFactor, digits: 0)) times the rate, and the"
                + " regulariser \(masks.regularizer.rawValue), which waits for \(masks.delay)"
                + " steps. Its weight is the one that is given, or is steered to a number of live"
                + " experts, from \(masks.coefficient) on and once in \(plan.steeringSteps) steps.",
            "- Held out: \(plan.heldOutSequences) sequences of \(plan.sequenceLength) of documents"
                + " that are never trained on. Masks close slots as they do in use: nothing is"
                + " computed for them.",
            "- Seed \(plan.seed): all models begin with one base and read the same text in the same"
                + " order. "
                + (others.isEmpty
                    ? "How far apart seeds are was not measured; `make beam SEEDS=2` does that."
                    : "What becomes of it with another seed is [below](#seeds)."),
            "- Text: of it runs keep a checksum, \(plan.corpus). `make beam` takes what Debian's"
                + " packages perl-doc and python3-doc bring, unless `CORPUS` says otherwise. The"
                + " same text gives the same figures on any machine of the same instruction set.",
        ]
    }

    // MARK: Table

    private var rows: [Row] {
        var rows: [Row] = []
        if let base = judge.base { rows.append(Row(title: "base", point: base)) }
        if let whole = judge.whole { rows.append(Row(title: "base, trained on", point: whole)) }
        rows += judge.masked.map { Row(title: Self.title($0.run), point: $0.point) }
        rows += plan.reduced.compactMap { choices in
            results[.reduced(choices)].map {
                Row(title: "top-\(choices), trained", point: $0.whole)
            }
        }
        rows += (results[.continued]?.pruned ?? []).map { pruned in
            Row(title: Self.title(pruned), point: pruned.point)
        }
        return rows
    }

    private static func title(_ run: MaskRun) -> String {
        switch run {
        case .masked(let coefficient): "masks, \(coefficient)"
        case .steered(let target): "masks, steered to \(Figures.fixed(target, digits: 1))"
        default: run.name
        }
    }

    private static func title(_ pruned: MaskResult.Pruned) -> String {
        let rule =
            pruned.probability < 1
            ? "top-p \(Figures.fixed(pruned.probability, digits: 2))" : "top-\(pruned.choices)"
        return "\(rule), not trained" + (pruned.renormalizes ? ", renormalised" : "")
    }

    private static func beside(_ point: MaskResult.Point, _ other: MaskResult.Point?) -> String {
        other.map { Figures.difference(point.loss / $0.loss) } ?? "-"
    }

    private var table: [String] {
        MarkdownTable.lines(
            [
                "model", "live experts", "expert work removed", "tokens without", "by layer",
                "held-out loss", "of the base", "of the base, trained on",
            ],
            rows.map { row in
                [
                    row.title, Figures.fixed(row.point.active, digits: 2),
                    Figures.percent(judge.removed(row.point)), Figures.percent(row.point.empty),
                    row.point.layers.map { Figures.fixed($0.active, digits: 2) }
                        .joined(separator: " "),
                    Figures.fixed(row.point.loss, digits: 4), Self.beside(row.point, judge.base),
                    Self.beside(row.point, judge.whole),
                ]
            })
    }

    // MARK: What it comes to

    private var asked: [String] {
        let explanation =
            "Of the masks that remove enough and are within the tolerance, those that are furthest"
            + " ahead of the best of all others. Others with as many live experts are between two"
            + " of their points, or the model trained on, by a straight line; where none has so"
            + " few, the one with the fewest stands for them. What is not trained is taken with"
            + " its weights as they are or renormalised, so that they add up to 1, whichever has"
            + " less loss."
        return ["## What was asked", "", explanation, ""] + Verdict.table(judge.verdicts)
            + ["", sparsest]
    }

    private var sparsest: String {
        let limit = Figures.percent(MaskJudge.tolerance, digits: 0)
        let others = [("the base", judge.base), ("the base trained on", judge.whole)]
        return others.map { name, other in
            guard let best = judge.sparsest(beside: other) else {
                return "No masks stay within \(limit) of \(name)."
            }
            return "Within \(limit) of \(name), masks remove up to"
                + " \(Figures.percent(judge.removed(best.point))) of the experts' work:"
                + " \(Self.title(best.run)), at a loss of"
                + " \(Figures.fixed(best.point.loss, digits: 4))."
        }
        .joined(separator: " ")
    }

    /// All masks beside all others.
    private var comparisons: [String] {
        MarkdownTable.lines(
            ["model", "live experts", "held-out loss"] + judge.others.map(\.name)
                + ["better than all"],
            judge.comparisons.map { comparison in
                [
                    Self.title(comparison.run),
                    Figures.fixed(comparison.point.active, digits: 2),
                    Figures.fixed(comparison.point.loss, digits: 4),
                ]
                    + comparison.others.map { $0.map { Figures.fixed($0, digits: 4) } ?? "-" }
                    + [comparison.isBest ? "yes" : "no"]
            })
    }

    /// What masks come to with each seed, if there are several.
    private var seeds: [String] {
        guard !others.isEmpty else { return [] }
        let all = [(seed: plan.seed, judge: judge)] + others
        func list(_ outcome: Verdict.Outcome) -> String? {
            let found = all.filter { $0.judge.verdicts.contains { $0.met == outcome } }
            return found.isEmpty ? nil : found.map { "\($0.seed)" }.joined(separator: ", ")
        }
        let said =
            list(.no).map { "Not all that was asked is met with seed \($0)." }
            ?? list(.notRun).map { "There are runs missing of seed \($0)." }
            ?? "All that was asked is met with every seed."
        let rows = all.flatMap { seed, judge in
            judge.comparisons.map { comparison in
                [
                    "\(seed)", Self.title(comparison.run),
                    Figures.fixed(comparison.point.active, digits: 2),
                    Figures.percent(judge.removed(comparison.point)),
                    Figures.fixed(comparison.point.loss, digits: 4),
                    Self.beside(comparison.point, judge.base),
                    Self.beside(comparison.point, judge.whole),
                    comparison.others.contains { $0 != nil }
                        ? Figures.difference(comparison.ratio) : "-",
                ]
            }
        }
        return ["## Seeds", "", said, ""]
            + MarkdownTable.lines(
                [
                    "seed", "model", "live experts", "expert work removed", "held-out loss",
                    "of the base", "of the base, trained on", "of the best of all others",
                ], rows) + [""]
    }

    // MARK: Plot

    /// Names and contents of the plots.
    var plots: [(name: String, svg: String)] {
        let kinds =
            [("masks", judge.masked.map(\.point))]
            + judge.others.map { ($0.name, $0.ways.first ?? []) }
        return [
            (
                "experts.svg",
                LinePlot(
                    title: "What experts are worth", xLabel: "live experts of a token",
                    yLabel: "held-out loss, nats per byte",
                    series: kinds.map { name, points in
                        let shown = points + (judge.whole.map { [$0] } ?? [])
                        return LinePlot.Series(
                            name: name,
                            lines: [
                                shown.sorted { $0.active < $1.active }
                                    .map { (x: $0.active, y: $0.loss) }
                            ], isDashed: name != "masks", isMarked: true)
                    }
                ).svg
            )
        ]
    }
}
