import Status

/// Tables and plots of finished runs, as a page of Markdown and SVG files beside it.
struct ConvergenceReport {
    /// How far above the reference's final loss the targets are that times are taken to.
    private static let targetFactors = [ConvergenceJudge.targetFactor, 1.01]

    private let plan: ConvergencePlan
    private let groups: [ConvergenceGroup]
    private let verdicts: [Verdict]
    /// The folder of the plots, as the page links to it.
    private let plotFolder: String

    /// Of results of one plan; nothing if there are none.
    init?(_ results: [ConvergenceResult], plotFolder: String) {
        self.plotFolder = plotFolder
        guard let first = results.first else { return nil }
        plan = first.plan
        groups = ConvergenceGroup.groups(of: results)
        verdicts = ConvergenceJudge(results).verdicts
    }

    // MARK: The page

    /// The page.
    var markdown: String {
        var lines = ["# Convergence, measured", ""]
        lines += setting + notes + [""]
        lines += asked + [""]
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
        _ groups: [ConvergenceGroup], _ condition: ConvergenceCondition, _ label: String,
        by x: (ConvergenceResult.Point) -> Double
    ) -> String {
        LinePlot(
            title: Self.heading(condition), xLabel: label, yLabel: "held-out loss, nats per byte",
            series: groups.map { group in
                LinePlot.Series(
                    name: group.run.title,
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
                + " there are not made again; which build made those that are kept is in the log"
                + " (docs/log.md):",
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

    /// What else has to be known: which text it is, and why not all is coded.
    private var notes: [String] {
        let usual =
            " `make convergence` takes what Debian's packages perl-doc and python3-doc bring,"
            + " unless `CORPUS` says otherwise."
        let text =
            "- Text: of it runs keep a checksum, \(plan.corpus); it has more than"
            + " \(plan.textTokensMin) tokens to train on."
        let codecs =
            "- Codecs code what the steps of a round came to. The gradients of a synchronous step,"
            + " those of the warm-up too, always go raw, so synchronous training has no coded runs."
        return [isUsual ? text + usual : text, codecs]
    }

    /// Whether `make convergence` makes such runs.
    private var isUsual: Bool {
        var usual = ConvergencePlan()
        usual.corpus = plan.corpus
        return plan == usual
    }

    /// What makes the page again.
    private var commands: [String] {
        guard !isUsual else {
            let seeds = groups.map(\.results.count).max() ?? 0
            return [
                "make convergence SEEDS=\(seeds)  # from nothing",
                "make convergence SEEDS=\(seeds) INTO=docs/convergence  # what it has no runs of",
                "martlet bench convergence --into docs/convergence --page docs/convergence.md"
                    + "  # the page alone",
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

    // MARK: What was asked

    private var asked: [String] {
        let part = plan.workers == 4 ? "a quarter" : "1/\(plan.workers)"
        let explanation =
            "Under the straggler, by means over seeds. A worker on random tokens never trains on"
            + " its share of the text, so \(part) of the text is lost, with the penalty on as with"
            + " it off; EDiT, beside which it stands, had all of it."
        return ["## What was asked", "", explanation, ""] + Verdict.table(verdicts)
    }

    // MARK: Tables

    private func reference(_ condition: ConvergenceCondition) -> ConvergenceGroup? {
        raw(ConvergenceMethod.reference, condition)
    }

    private func raw(_ method: String, _ condition: ConvergenceCondition) -> ConvergenceGroup? {
        let run = ConvergenceCase(method: method, codec: "raw", condition: condition)
        return groups.first { $0.run == run }
    }

    /// What a group with a codec is without.
    private func raw(_ group: ConvergenceGroup) -> ConvergenceGroup? {
        group.run.codec == "raw" ? nil : raw(group.run.method, group.run.condition)
    }

    private func table(_ groups: [ConvergenceGroup], _ condition: ConvergenceCondition) -> [String]
    {
        let reference = reference(condition)
        let baseLoss = reference?.mean(\.heldOutLoss)
        let header =
            [
                "method", "seeds", "held-out loss", "of synchronous", "of raw", "virtual s",
                "tokens/s", "of workers", "idle",
            ] + Self.targetFactors.map { "to \(Figures.fixed(100 * $0, digits: 0)) %" }
        return MarkdownTable.lines(
            header,
            groups.map { group in
                let loss = group.mean(\.heldOutLoss)
                let spread = group.lossDeviation.map { " ± " + Figures.fixed($0, digits: 4) } ?? ""
                let ofRaw = raw(group).map { Figures.difference(loss / $0.mean(\.heldOutLoss)) }
                let speedShare = group.mean { $0.speed / $0.speedOfWorkers }
                let arrivals = Self.targetFactors.map { factor in
                    baseLoss.map { arrival(group, at: factor * $0, beside: reference) } ?? "-"
                }
                return [
                    group.run.title, "\(group.results.count)",
                    Figures.fixed(loss, digits: 4) + spread,
                    baseLoss.map { Figures.difference(loss / $0) } ?? "-", ofRaw ?? "-",
                    Figures.fixed(group.mean(\.seconds), digits: 0),
                    Figures.fixed(group.mean(\.speed), digits: 0), Figures.percent(speedShare),
                    Figures.percent(group.mean(\.idleShare)),
                ] + arrivals
            })
    }

    private func traffic(_ groups: [ConvergenceGroup]) -> [String] {
        func perWorker(_ result: ConvergenceResult, _ bytes: (ConvergenceResult.Worker) -> Int)
            -> Double
        { Double(result.workers.reduce(0) { $0 + bytes($1) }) / Double(result.workers.count) }
        let header = [
            "method", "up per worker", "down per worker", "applied tokens", "lost tokens",
            "contributions", "missed",
        ]
        return MarkdownTable.lines(
            header,
            groups.map { group in
                [
                    group.run.title,
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
        _ group: ConvergenceGroup, at target: Double, beside reference: ConvergenceGroup?
    ) -> String {
        guard let seconds = group.seconds(to: target) else { return "-" }
        let shown = Figures.fixed(seconds, digits: 0) + " s"
        guard let base = reference?.seconds(to: target) else { return shown }
        return shown + ", \(Figures.fixed(base / seconds, digits: 2))x"
    }
}
