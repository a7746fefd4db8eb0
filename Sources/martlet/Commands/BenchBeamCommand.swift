import ArgumentParser
import FoundationEssentials
import Storage

struct BenchBeamCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "beam",
        abstract: "Learns masks for a mixture of experts and compares them with fewer experts.",
        discussion: """
            Every finished run is a file below runs/ and a model below models/ in the folder, so \
            the command goes on where it was stopped. Then it writes the page with the table, and \
            the plot to a folder beside it. Without --corpus it only does that.
            """)

    @Option(
        parsing: .upToNextOption,
        help: ArgumentHelp("Text: files and folders.", valueName: "path"))
    var corpus: [String] = []

    @Option(help: ArgumentHelp("The folder of runs.", valueName: "folder"))
    var into: String

    @Option(
        help: ArgumentHelp(
            "The page with the table (default: beam.md in the folder).", valueName: "file"))
    var page: String?

    @Option(
        help: ArgumentHelp(
            "Model and budgets, as a run's file has them under plan.", valueName: "file"))
    var plan: String?

    @Option(help: "Runs at a time, each on one thread.")
    var jobs = ProcessorCount.available

    @Flag(help: "A tiny model on little text, to see the whole way in a minute.")
    var quick = false

    @Flag(help: "Print JSON.")
    var json = false

    /// What --json prints.
    private struct Summary: Encodable {
        struct Run: Encodable {
            var name: String
            var heldOutLoss: Double
            var activeExperts: Double
            var emptyShare: Double
        }

        var page: String
        var runs: [Run]
    }

    func validate() throws {
        try Bounds.from(1, to: Double(ProcessorCount.available)).check("--jobs", jobs)
        if quick, plan != nil { throw ValidationError("--quick is a plan of its own") }
    }

    func run() throws {
        let folder = MaskFolder(path: into)
        if !corpus.isEmpty { try train(folder) }
        let results = try folder.results()
        let page = PlottedPage(path: page ?? "\(into)/beam.md")
        guard let report = MaskReport(results, plotFolder: page.plotFolder) else {
            throw CommandError(.missingInput, "there are no runs in \(into); give --corpus")
        }
        try page.write(report.markdown, plots: report.plots)
        guard json else {
            Terminal.printLine("\(results.count) runs: \(page.path)")
            return
        }
        let runs = results.map { result in
            Summary.Run(
                name: result.run.name, heldOutLoss: result.whole.loss,
                activeExperts: result.whole.active, emptyShare: result.whole.empty)
        }
        Terminal.printLine(try Summary(page: page.path, runs: runs).jsonLine())
    }

    private func train(_ folder: MaskFolder) throws {
        var plan = quick ? MaskPlan.quick : MaskPlan()
        if let path = self.plan { plan = try MaskPlan.load(path) }
        let text = try Corpus.load(paths: corpus)
        plan.corpus = text.fingerprint
        try plan.check(text)
        let study = try MaskStudy(plan, corpus: text, folder: folder)
        Terminal.printNote(
            "\(study.count) runs to make, \(plan.runs.count - study.count) are there")
        try study.run(parallel: jobs)
    }
}
