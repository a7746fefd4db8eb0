import FoundationEssentials
import LocalSGD
import MoE
import Status
import Storage
import Tensors

/// What synchronising cost in several runs of one worker, as a page of Markdown with drawings.
struct TimelinePage {
    /// Rounds in a drawing.
    private static let roundsDrawn = 1

    /// One run and what its time line says.
    struct Run {
        /// Of its folder.
        var name: String
        var configuration: RunConfiguration
        var timeline: Timeline
        var report: TimelineReport
        var parameters: Int

        var codec: String { configuration.run.codec }
        /// 0 where the worker waits.
        var stepsAhead: Int { configuration.run.stepsAhead }
        var title: String {
            stepsAhead == 0 ? "\(codec), waits" : "\(codec), up to \(stepsAhead) steps ahead"
        }
    }

    /// Those with the same codec together, the one that waits first.
    let runs: [Run]

    /// Reads all runs below `folder`.
    ///
    /// Throws where there are none, and for the first that can't be read.
    init(folder: String) throws {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        var runs: [Run] = []
        for name in names.sorted() {
            let run = RunFolder(path: "\(folder)/\(name)")
            let path = "\(run.path)/timelines/worker-1.json"
            guard FileManager.default.fileExists(atPath: path) else { continue }
            let timeline = try Timeline(file: path)
            guard let report = TimelineReport(timeline) else {
                throw CommandError(.badData, "\(path) has no whole round behind the warm-up")
            }
            let yaml = String(decoding: try AtomicFile.read(run.configuration), as: UTF8.self)
            let loaded = try LoadedConfiguration(
                file: (run.configuration, yaml), environment: [:], settings: [])
            let checkpoint = try CheckpointStore.resolve(run.checkpoints)
            let model = try ModelConfiguration(configurationJSON: Data(checkpoint.configuration))
            runs.append(
                Run(
                    name: name, configuration: loaded.configuration, timeline: timeline,
                    report: report, parameters: model.layout.count))
        }
        guard !runs.isEmpty else {
            throw CommandError(.missingInput, "\(folder) has no run with timelines/worker-1.json")
        }
        self.runs = runs.sorted { ($0.codec, $0.stepsAhead) < ($1.codec, $1.stepsAhead) }
    }

    /// For each run a name and a drawing of a round from its middle.
    func drawings() throws -> [(name: String, svg: String)] {
        try runs.map { run in
            let all = MeasuredRound.all(in: run.timeline.spans).filter { !$0.isDisturbed }
            let middle = all[all.count / 2].number
            let range = middle...(middle + Self.roundsDrawn - 1)
            return (
                run.name, try TimelineDrawing(run.timeline, rounds: range, title: run.title).svg
            )
        }
    }

    // MARK: The page

    /// The page, with its drawings in the folder of that name beside it, of runs that were made
    /// with `runWith` before their commands.
    func markdown(drawings: String, runWith: String) -> String {
        let command = "make timeline" + (runWith.isEmpty ? "" : " RUN_WITH=\"\(runWith)\"")
        var lines = ["# What synchronising costs, measured", ""] + setting(command) + [""]
        lines += table + [""]
        lines += explanation
        for run in runs {
            lines += ["", "## \(run.title)", "", "![One round](\(drawings)/\(run.name).svg)"]
        }
        return (lines + [""]).joined(separator: "\n")
    }

    private func setting(_ command: String) -> [String] {
        guard let first = runs.first else { return [] }
        let (model, run) = (first.configuration.model, first.configuration.run)
        let shards = first.configuration.cluster.shards
        return [
            "A worker goes on with inner steps while its update is pushed and the next version is"
                + " pulled, module by module in forward order"
                + " ([0015](decisions/0015-train-on-while-synchronising.md)). Here is what is left"
                + " of the time that synchronising takes, and what it is where the worker waits"
                + " instead. `make timeline` makes this page:",
            "",
            "```", command, "```",
            "",
            "- One worker with \(first.configuration.cluster.workers.first?.threads ?? 1) thread,"
                + " \(shards) shard servers and a coordinator, as processes over TLS on loopback,"
                + " on \(ProcessorCount.available) processors (\(Processor.name)). Servers and"
                + " coordinator are kept to the last one: they stand for other machines, but all"
                + " share memory, and the worker's own encryption goes where there is room.",
            "- Model: \(Figures.count(Double(first.parameters))) parameters, \(model.layers) layers"
                + " of width \(model.hiddenSize), \(model.experts) experts of"
                + " \(model.expertHiddenSize), \(model.expertsPerToken) per token, in"
                + " \(first.configuration.cluster.workers.first?.precision.rawValue ?? "fp32").",
            "- \(run.rounds.syncInterval) inner steps a round, each of \(run.rounds.batchSize)"
                + " sequences of \(run.sequenceLength) bytes; nothing is measured or saved before"
                + " the end.",
        ]
    }

    private var table: [String] {
        let header = [
            "codec", "steps ahead", "rounds", "steps", "step alone", "beside something", "times",
            "no step", "**cost**",
        ]
        let rows = runs.map { run in
            let report = run.report
            return [
                run.codec, run.stepsAhead == 0 ? "none: it waits" : "up to \(run.stepsAhead)",
                "\(report.rounds)", "\(report.steps)", TimelineReport.ms(report.aloneStepMsMean),
                TimelineReport.ms(report.besideStepMsMean)
                    + (report.besideSteps > 0 ? " (\(report.besideSteps))" : ""),
                TimelineReport.times(report.besideRatio),
                TimelineReport.percent(report.pausedShare),
                "**\(TimelineReport.cost(report.costPercent))**",
            ]
        }
        return MarkdownTable.lines(header, rows)
    }

    private var explanation: [String] {
        let pauses = runs.map { run in
            let parts = TimelineReport.Pause.allCases.compactMap { pause in
                run.report.pausedShareBy[pause.rawValue].map {
                    "\(pause.rawValue) \(TimelineReport.percent($0))"
                }
            }
            return "- \(run.title): \(parts.joined(separator: ", "))"
        }
        return [
            "`step alone` is the mean of the steps during which the worker did nothing else,"
                + " `beside something` that of the others, with their number, and `times` how many"
                + " times as long they take. `no step` is the share of the time in which no step"
                + " was under way. `cost` is the time of whole rounds by their steps, over"
                + " `step alone`, less one: all that a step takes longer because there is"
                + " synchronising.",
            "",
            "In the drawings a bar is there from the order to its end.",
            "",
            "What the worker did while no step was under way, as shares of the whole time:",
            "",
        ] + pauses
    }
}

/// The processor, for pages with measurements.
enum Processor {
    /// As Linux calls it; elsewhere that it is not known.
    static var name: String {
        let text = try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8)
        let line = text?.split(separator: "\n").first { $0.hasPrefix("model name") }
        let name = line?.split(separator: ":").dropFirst().first
        return name.map { String($0.drop { $0 == " " }) } ?? "of unknown kind"
    }
}
