import Status

/// Tables and plots of finished runs, as a page of Markdown and SVG files beside it.
struct ConvergenceReport {
    /// How far above the reference's final loss the targets are that times are taken to.
    private static let targetFactors = [1.02, 1.01]

    /// The runs of one case, one per seed.
    private struct Group {
        let run: ConvergenceCase
        let results: [ConvergenceResult]

        func mean(_ value: (ConvergenceResult) -> Double) -> Double {
            results.reduce(0) { $0 + value($1) } / Double(results.count)
        }

        /// The sample's standard deviation of the final losses; nothing for one run.
        var lossDeviation: Double? {
            guard results.count > 1 else { return nil }
            let mean = mean(\.heldOutLoss)
            let squares = results.reduce(0) {
                $0 + ($1.heldOutLoss - mean) * ($1.heldOutLoss - mean)
            }
            return (squares / Double(results.count - 1)).squareRoot()
        }

        var title: String {
            let method = ConvergenceMethod.named(run.method)?.title ?? run.method
            return run.codec == "raw" ? method : "\(method), \(run.codec)"
        }
    }

    private let plan: ConvergencePlan
    private let groups: [Group]
    /// The folder of the plots, as the page links to it.
    private let plotFolder: String

    /// Of results of one plan; nothing if there are none.
    init?(_ results: [ConvergenceResult], plotFolder: String) {
        self.plotFolder = plotFolder
        guard let first = results.first else { return nil }
        plan = first.plan
        let order = ConvergenceMethod.all.map(\.name)
        groups = Dictionary(grouping: results, by: \.run)
            .map { Group(run: $0, results: $1.sorted { $0.seed < $1.seed }) }
            .sorted { left, right in
                let places = [left, right].map { group in
                    (
                        order.firstIndex(of: group.run.method) ?? order.count,
                        group.run.codec == "raw" ? "" : group.run.name
                    )
                }
                return places[0] < places[1]
            }
    }

    // MARK: The page

    /// The page.
    var markdown: String {
        var lines = ["# Convergence, measured", ""] + setting + [""]
        for condition in ConvergenceCondition.allCases {
            let shown = groups.filter { $0.run.condition == condition }
            guard !shown.isEmpty else { continue }
            lines += ["## \(Self.heading(condition))", "", explanation(condition), ""]
            lines += table(shown, condition) + [""] + traffic(shown) + [""]
            for plot in ["tokens", "time"] {
                lines += [
                    "![Loss by \(plot)](\(plotFolder)/\(condition.rawValue)-\(plot).svg)", "",
                ]
            }
        }
        return lines.joined(separator: "\n")
    }

    /// Names and contents of the plots.
    var plots: [(name: String, svg: String)] {
        ConvergenceCondition.allCases.flatMap { condition -> [(String, String)] in
            let shown = groups.filter { $0.run.condition == condition }
            guard !shown.isEmpty else { return [] }
            return [
                (
                    "\(condition.rawValue)-tokens.svg",
                    plot(shown, condition, "tokens trained on") { Double($0.tokens) }
                ),
                (
                    "\(condition.rawValue)-time.svg",
                    plot(shown, condition, "virtual seconds") { $0.seconds }
                ),
            ]
        }
    }

    private func plot(
        _ groups: [Group], _ condition: ConvergenceCondition, _ label: String,
        by x: (ConvergenceResult.Point) -> Double
    ) -> String {
        LinePlot(
            title: Self.heading(condition), xLabel: label, yLabel: "held-out loss, nats per byte",
            series: groups.map { group in
                LinePlot.Series(
                    name: group.title,
                    lines: group.results.map { $0.curve.map { (x: x($0), y: $0.loss) } },
                    isDashed: group.run.codec != "raw")
            }
        ).svg
    }

    private var setting: [String] {
        let parameters = groups.first?.results.first?.parameters ?? 0
        return [
            "Real training in virtual time: the production roles train one model on real text,"
                + " while the time of a step and of every byte is simulated, so the same seed gives"
                + " the same figures on any machine of the same instruction set. Runs that are"
                + " there are not made again:",
            "",
            "```",
        ] + commands + [
            "```",
            "",
            "- Model: a mixture of experts with \(Figures.count(Double(parameters))) parameters"
                + " that reads bytes (\(plan.layers) layers of width \(plan.hiddenSize),"
                + " \(plan.experts) experts of \(plan.expertHiddenSize),"
                + " \(plan.expertsPerToken) per token), in \(plan.precision).",
            "- Budget: \(plan.tokens) tokens of text, each seen once, by \(plan.workers) workers in"
                + " steps of \(plan.batchSize) sequences of \(plan.sequenceLength); the modules lie"
                + " on \(plan.shards) shard servers.",
            "- Rounds: \(plan.warmupSteps) steps of warm-up, then \(plan.rounds) rounds of"
                + " \(plan.syncInterval) steps. Inner learning rate \(plan.learningRate),"
                + " synchronous \(plan.synchronousLearningRate); outer \(plan.outerLearningRate)"
                + " with momentum \(plan.outerMomentum), with a sparse codec"
                + " \(plan.sparseOuterLearningRate) and \(plan.sparseOuterMomentum)."
                + (plan.overrides.isEmpty
                    ? "" : " Besides: `\(plan.overrides.joined(separator: "`, `"))`."),
            "- Held out: \(plan.heldOutSequences) sequences of documents that are never trained"
                + " on.",
            "- Speeds, behind the warm-up: `of workers` is the share of what the workers would make"
                + " together if none ever waited. `to 102 %` is the virtual time to a held-out"
                + " loss of 102 % of that of raw synchronous training at its end, and how much"
                + " shorter that is than its own way there; a method whose seeds do not all get"
                + " there has none.",
        ]
    }

    /// What makes the page again.
    private var commands: [String] {
        var usual = ConvergencePlan()
        usual.corpus = plan.corpus
        guard plan != usual else {
            let seeds = groups.map(\.results.count).max() ?? 0
            return [
                "make convergence SEEDS=\(seeds)  # from nothing",
                "make convergence SEEDS=\(seeds) INTO=docs/convergence  # from its runs",
            ]
        }
        return [
            "martlet bench convergence --into FOLDER --corpus TEXT --plan PLAN \\",
            "    --methods \(names(\.method)) --codecs \(names(\.codec))"
                + " --conditions \(names(\.condition.rawValue))",
            "# PLAN: what a file in FOLDER/runs has under `plan`",
        ]
    }

    private func names(_ name: (ConvergenceCase) -> String) -> String {
        var found: [String] = []
        for group in groups where !found.contains(name(group.run)) { found.append(name(group.run)) }
        return found.joined(separator: ",")
    }

    static func heading(_ condition: ConvergenceCondition) -> String {
        switch condition {
        case .even: "Equal machines"
        case .straggler: "One straggler, stalls, a limited line"
        }
    }

    private func explanation(_ condition: ConvergenceCondition) -> String {
        let step = "A step takes \(plan.stepSeconds) s"
        let latency = "\(Figures.fixed(plan.latencySeconds * 1000, digits: 1)) ms away from the net"
        switch condition {
        case .even: return "\(step). Nodes are \(latency), and lines have no limit."
        case .straggler:
            return
                "\(step), of the last worker \(Figures.fixed(plan.straggling, digits: 1)) times as"
                + " long; of all steps \(Figures.fixed(100 * plan.stallChance, digits: 0)) % stall"
                + " for \(plan.stallSeconds) s more. Every worker and shard server is on a line of"
                + " \(Figures.fixed(plan.linkMegabits, digits: 0)) Mbit/s each way, \(latency)."
        }
    }

    // MARK: Tables

    private func reference(_ condition: ConvergenceCondition) -> Group? {
        groups.first {
            $0.run.method == ConvergenceMethod.reference && $0.run.codec == "raw"
                && $0.run.condition == condition
        }
    }

    private func table(_ groups: [Group], _ condition: ConvergenceCondition) -> [String] {
        let reference = reference(condition)
        let baseLoss = reference?.mean(\.heldOutLoss)
        let header =
            [
                "method", "seeds", "held-out loss", "of synchronous", "virtual s", "tokens/s",
                "of workers", "idle",
            ] + Self.targetFactors.map { "to \(Figures.fixed(100 * $0, digits: 0)) %" }
        return Self.table(
            header,
            groups.map { group in
                let loss = group.mean(\.heldOutLoss)
                let spread = group.lossDeviation.map { " ± " + Figures.fixed($0, digits: 4) } ?? ""
                let speedShare = group.mean { $0.speed / $0.speedOfWorkers }
                let arrivals = Self.targetFactors.map { factor in
                    baseLoss.map { arrival(group, at: factor * $0, beside: reference) } ?? "-"
                }
                return [
                    group.title, "\(group.results.count)", Figures.fixed(loss, digits: 4) + spread,
                    baseLoss.map { Self.difference(loss / $0) } ?? "-",
                    Figures.fixed(group.mean(\.seconds), digits: 0),
                    Figures.fixed(group.mean(\.speed), digits: 0), Self.percent(speedShare),
                    Self.percent(group.mean(\.idleShare)),
                ] + arrivals
            })
    }

    private func traffic(_ groups: [Group]) -> [String] {
        func perWorker(_ result: ConvergenceResult, _ bytes: (ConvergenceResult.Worker) -> Int)
            -> Double
        { Double(result.workers.reduce(0) { $0 + bytes($1) }) / Double(result.workers.count) }
        let header = [
            "method", "up per worker", "down per worker", "applied tokens", "lost tokens",
            "contributions", "missed",
        ]
        return Self.table(
            header,
            groups.map { group in
                [
                    group.title,
                    Figures.bytes(UInt64(group.mean { perWorker($0, \.bytesUp) })),
                    Figures.bytes(UInt64(group.mean { perWorker($0, \.bytesDown) })),
                    Figures.fixed(group.mean { Double($0.appliedTokens) }, digits: 0),
                    Figures.fixed(group.mean { Double($0.lostTokens) }, digits: 0),
                    Figures.fixed(group.mean { Double($0.appliedContributions) }, digits: 0),
                    Figures.fixed(group.mean { Double($0.missedContributions) }, digits: 0),
                ]
            })
    }

    /// When `group` was at `target`, and by what factor that is before `reference` was.
    private func arrival(
        _ group: Group, at target: Double, beside reference: Group?
    ) -> String {
        guard let seconds = time(group, to: target) else { return "-" }
        let shown = Figures.fixed(seconds, digits: 0) + " s"
        guard let base = reference.flatMap({ time($0, to: target) }) else { return shown }
        return shown + ", \(Figures.fixed(base / seconds, digits: 2))x"
    }

    /// The mean over those seeds that reached it, if all did.
    private func time(_ group: Group, to target: Double) -> Double? {
        let times = group.results.compactMap { $0.seconds(to: target) }
        guard times.count == group.results.count, !times.isEmpty else { return nil }
        return times.reduce(0, +) / Double(times.count)
    }

    private static func table(_ header: [String], _ rows: [[String]]) -> [String] {
        ([header, header.map { _ in "---" }] + rows).map {
            "| " + $0.joined(separator: " | ") + " |"
        }
    }

    private static func percent(_ share: Double) -> String {
        Figures.fixed(100 * share, digits: 1) + " %"
    }

    /// A ratio as what it is more or less than 1.
    private static func difference(_ ratio: Double) -> String {
        (ratio >= 1 ? "+" : "") + Figures.fixed(100 * (ratio - 1), digits: 2) + " %"
    }
}
