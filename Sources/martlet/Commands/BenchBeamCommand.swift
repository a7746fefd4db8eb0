import ArgumentParser
import FoundationEssentials
import Storage

struct BenchBeamCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "beam",
        abstract: "Learns masks for a mixture of experts and compares them with fewer experts.",
        discussion: """
            Every finished run is a file below runs/ and a model below models/ in the folder, so \
            the command goes on where it was stopped, and adds seeds to what is there. Then it \
            writes the page with the table, and the plot to a folder beside it. Without --corpus \
            it only does that.
            """)

    @OptionGroup var options: ComparisonOptions

    @Option(help: "Runs of each model, with seeds from the plan's on.")
    var seeds = 1

    /// What --json prints of a run.
    private struct Run: Encodable {
        var name: String
        var seed: UInt64
        var heldOutLoss: Double
        var activeExperts: Double
        var emptyShare: Double
    }

    func validate() throws { try Bounds.from(1, to: 100).check("--seeds", seeds) }

    func run() throws {
        let folder = MaskFolder(path: options.into)
        if !options.corpus.isEmpty { try train(folder) }
        let results = try folder.results()
        let page = options.plottedPage("beam.md")
        guard let report = MaskReport(results, plotFolder: page.plotFolder) else {
            throw options.noRuns
        }
        try page.write(report.markdown, plots: report.plots)
        let runs = results.map { result in
            Run(
                name: result.run.name, seed: result.plan.seed, heldOutLoss: result.whole.loss,
                activeExperts: result.whole.active, emptyShare: result.whole.empty)
        }
        try options.show(runs, verdicts: report.verdicts, on: page)
    }

    private func train(_ folder: MaskFolder) throws {
        var plan = options.quick ? MaskPlan.quick : MaskPlan()
        if let path = options.plan { plan = try MaskPlan.read(path, as: "plan") }
        let text = try Corpus.load(paths: options.corpus)
        plan.corpus = text.fingerprint
        try plan.check(text)
        let first = plan.seed
        for seed in (0..<UInt64(seeds)).map({ first &+ $0 }) {
            plan.seed = seed
            let study = try MaskStudy(plan, corpus: text, folder: folder)
            Terminal.printNote(
                "seed \(seed): \(study.count) runs to make,"
                    + " \(plan.runs.count - study.count) are there")
            try study.run(parallel: options.jobs)
        }
    }
}
