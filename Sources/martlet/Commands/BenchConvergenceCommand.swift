import ArgumentParser
import FoundationEssentials
import Storage

struct BenchConvergenceCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "convergence",
        abstract: "Trains one model with several methods in virtual time and compares them.",
        discussion: """
            Every finished run is a file below runs/ in the folder, so the command goes on where \
            it was stopped, and adds methods and seeds to what is there. Then it writes the page \
            with the tables, and the plots to a folder beside it. Without --corpus it only does \
            that.

            methods: \(ConvergenceMethod.all.map(\.name).joined(separator: ", "))
            """)

    @OptionGroup var options: ComparisonOptions

    @Option(help: ArgumentHelp("Methods, separated by commas.", valueName: "names"))
    var methods = "dp,edit"

    @Option(
        help: ArgumentHelp(
            "Codecs, separated by commas: \(ConvergenceMethod.codecs).", valueName: "names"))
    var codecs = "raw"

    @Option(
        help: ArgumentHelp(
            "Conditions, separated by commas: even, straggler.", valueName: "names"))
    var conditions = "even,straggler"

    @Option(help: "Runs of each method, with seeds from 1.")
    var seeds = 3

    @Option(
        parsing: .singleValue,
        help: ArgumentHelp(
            "A setting of training in all runs; may be given several times.",
            valueName: "key=value"))
    var set: [String] = []

    @Option(help: "Tokens of a run.")
    var tokens: Int?

    /// What --json prints of a run.
    private struct Run: Encodable {
        var name: String
        var seed: UInt64
        var heldOutLoss: Double
        var tokensPerVirtualS: Double
        var ofWorkers: Double
        var idle: Double
        var virtualS: Double
    }

    func validate() throws {
        try Bounds.from(1, to: 100).check("--seeds", seeds)
        if let tokens { try Bounds.from(1, to: 1e12).check("--tokens", tokens) }
    }

    func run() throws {
        let folder = ConvergenceFolder(path: options.into)
        if !options.corpus.isEmpty { try train(folder) }
        let results = try folder.results()
        let page = options.plottedPage("convergence.md")
        guard let report = ConvergenceReport(results, plotFolder: page.plotFolder) else {
            throw options.noRuns
        }
        try page.write(report.markdown, plots: report.plots)
        let runs = results.map { result in
            Run(
                name: result.run.name, seed: result.seed, heldOutLoss: result.heldOutLoss,
                tokensPerVirtualS: result.speed, ofWorkers: result.speed / result.speedOfWorkers,
                idle: result.idleShare, virtualS: result.seconds)
        }
        try options.show(runs, verdicts: ConvergenceJudge(results).verdicts, on: page)
    }

    private func train(_ folder: ConvergenceFolder) throws {
        let cases = try ConvergenceCase.combinations(
            methods: Self.list(methods), codecs: Self.list(codecs),
            conditions: try Self.list(conditions).map { name in
                guard let condition = ConvergenceCondition(rawValue: name) else {
                    throw CommandError(
                        .usage, "no condition is called '\(name)'; there are even, straggler")
                }
                return condition
            })
        var plan = options.quick ? ConvergencePlan.quick : ConvergencePlan()
        if let path = options.plan { plan = try ConvergencePlan.read(path, as: "plan") }
        if let tokens { plan.tokens = tokens }
        plan.overrides += set
        let text = try Corpus.load(paths: options.corpus)
        plan.corpus = text.fingerprint
        try plan.check(text)
        let benchmark = try ConvergenceBenchmark(
            plan, cases: cases, seeds: seeds, corpus: text, folder: folder)
        Terminal.printNote(
            "\(benchmark.count) runs to make, \(cases.count * seeds - benchmark.count) are there")
        try benchmark.run(parallel: options.jobs)
    }

    private static func list(_ names: String) -> [String] {
        names.split(separator: ",").map { String($0.filter { $0 != " " }) }
    }
}
