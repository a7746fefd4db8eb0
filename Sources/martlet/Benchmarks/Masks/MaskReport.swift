import LocalSGD
import Status

/// The page of a study of masks: a table, a plot, and what the best masks come to.
struct MaskReport {
    /// How much more loss counts as none.
    private static let tolerance = 0.02

    /// One line of the table.
    private struct Row {
        let title: String
        let point: MaskResult.Point
    }

    private let plan: MaskPlan
    private let results: [MaskRun: MaskResult]
    private let plotFolder: String

    /// Of results of one plan; nothing if there are none.
    init?(_ results: [MaskResult], plotFolder: String) {
        guard let first = results.first else { return nil }
        plan = first.plan
        self.results = Dictionary(results.map { ($0.run, $0) }) { first, _ in first }
        self.plotFolder = plotFolder
    }

    /// The page.
    var markdown: String {
        ([
            "# Experts that are not needed, measured", "",
            "A mixture of experts learns which of its experts a token can do without (BEAM 2026),"
                + " beside the same model with fewer experts for all tokens:", "", "```",
            "make beam", "```", "",
        ] + setting + [""] + table + [""] + verdict + ["", "![Loss by live experts](\(plot))", ""])
        .joined(separator: "\n")
    }

    private var plot: String { "\(plotFolder)/experts.svg" }

    private var setting: [String] {
        let K = plan.expertsPerToken
        return [
            "- Model: reads bytes; \(plan.layers) layers of width \(plan.hiddenSize),"
                + " \(plan.experts) experts of \(plan.expertHiddenSize) a layer, top-\(K).",
            "- Base: \(plan.baseTokens) tokens of real text, each seen once. All others train on"
                + " \(plan.tuneTokens) more from there, also the model that stays as it is, with"
                + " which they are compared.",
            "- Masks: \(plan.masks.training.rawValue), regulariser"
                + " \(plan.masks.regularizer.rawValue), off in the first \(plan.masks.delay)"
                + " steps.",
            "- Held out: \(plan.heldOutSequences) sequences of \(plan.sequenceLength) of documents"
                + " that are never trained on. Masks close slots as they do in use: nothing is"
                + " computed for them.",
        ]
    }

    // MARK: Table

    private var whole: MaskResult.Point? { results[.continued]?.whole }

    private var rows: [Row] {
        var rows: [Row] = []
        if let base = results[.base] { rows.append(Row(title: "base", point: base.whole)) }
        if let whole { rows.append(Row(title: "base, trained on", point: whole)) }
        rows += plan.coefficients.compactMap { coefficient in
            results[.masked(coefficient)].map {
                Row(title: "masks, \(coefficient)", point: $0.whole)
            }
        }
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

    private static func title(_ pruned: MaskResult.Pruned) -> String {
        let rule =
            pruned.probability < 1
            ? "top-p \(Figures.fixed(pruned.probability, digits: 2))" : "top-\(pruned.choices)"
        return "\(rule), not trained" + (pruned.renormalizes ? ", renormalised" : "")
    }

    private var table: [String] {
        let lines = rows.map { row in
            [
                row.title, Figures.fixed(row.point.active, digits: 2),
                percent(removed(row.point)), percent(row.point.empty),
                row.point.layers.map { Figures.fixed($0.active, digits: 2) }
                    .joined(separator: " "),
                Figures.fixed(row.point.loss, digits: 4),
                whole.map { excess(row.point, over: $0) } ?? "-",
            ]
        }
        let header = [
            "model", "live experts", "expert FLOPs removed", "tokens without", "by layer",
            "held-out loss", "of the model that stays",
        ]
        return ([header, header.map { _ in "---" }] + lines).map {
            "| " + $0.joined(separator: " | ") + " |"
        }
    }

    private func removed(_ point: MaskResult.Point) -> Double {
        1 - point.active / Double(plan.expertsPerToken)
    }

    private func percent(_ share: Double) -> String {
        Figures.fixed(100 * share, digits: 1) + " %"
    }

    private func excess(_ point: MaskResult.Point, over whole: MaskResult.Point) -> String {
        let share = point.loss / whole.loss - 1
        return (share >= 0 ? "+" : "") + Figures.fixed(100 * share, digits: 2) + " %"
    }

    // MARK: What it comes to

    private var masked: [MaskResult.Point] {
        plan.coefficients.compactMap { results[.masked($0)]?.whole }
    }

    /// All that masks are compared with, by kind.
    private var baselines: [(name: String, points: [MaskResult.Point])] {
        let pruned = results[.continued]?.pruned ?? []
        let reduced = plan.reduced.compactMap { results[.reduced($0)]?.whole }
        return [
            ("top-k, trained", reduced),
            ("top-k, not trained", pruned.filter { $0.probability == 1 }.map(\.point)),
            ("top-p, not trained", pruned.filter { $0.probability < 1 }.map(\.point)),
        ]
    }

    /// The loss that the points, and the whole model, make at `active` experts between two of
    /// them, by a straight line; the least where there are several.
    private func loss(at active: Double, of points: [MaskResult.Point]) -> Double? {
        let sorted = (points + (whole.map { [$0] } ?? [])).sorted { $0.active < $1.active }
        let losses = zip(sorted, sorted.dropFirst()).compactMap { left, right -> Double? in
            guard left.active <= active, active <= right.active else { return nil }
            let span = right.active - left.active
            let share = span == 0 ? 0 : (active - left.active) / span
            return left.loss + share * (right.loss - left.loss)
        }
        return losses.min()
    }

    private var verdict: [String] {
        guard let whole else { return [] }
        let close = masked.filter { $0.loss <= (1 + Self.tolerance) * whole.loss }
        guard let best = close.min(by: { $0.active < $1.active }) else {
            return ["No masks stay within \(percent(Self.tolerance)) of the model that stays."]
        }
        let others = baselines.map { kind in
            guard let loss = loss(at: best.active, of: kind.points) else {
                return "\(kind.name): none"
            }
            return "\(kind.name): " + Figures.fixed(loss, digits: 4)
        }
        return [
            "Within \(percent(Self.tolerance)) masks remove \(percent(removed(best))) of the"
                + " experts' FLOPs, at a loss of \(Figures.fixed(best.loss, digits: 4)). Others"
                + " with as many experts, between two points by a straight line: "
                + others.joined(separator: "; ") + "."
        ]
    }

    // MARK: Plot

    /// Names and contents of the plots.
    var plots: [(name: String, svg: String)] {
        let kinds = [("masks", masked)] + baselines.map { ($0.name, $0.points) }
        return [
            (
                "experts.svg",
                LinePlot(
                    title: "What experts are worth", xLabel: "live experts of a token",
                    yLabel: "held-out loss, nats per byte",
                    series: kinds.map { name, points in
                        let shown = points + (whole.map { [$0] } ?? [])
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
