import ArgumentParser

/// The options of a command that makes runs, keeps them in a folder and writes a page on them.
struct ComparisonOptions: ParsableArguments {
    @Option(
        parsing: .upToNextOption,
        help: ArgumentHelp("Text: files and folders.", valueName: "path"))
    var corpus: [String] = []

    @Option(help: ArgumentHelp("The folder of runs.", valueName: "folder"))
    var into: String

    @Option(
        help: ArgumentHelp(
            "The page with the tables (default: in the folder, named after this command).",
            valueName: "file"))
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

    func validate() throws {
        try Bounds.from(1, to: Double(ProcessorCount.available)).check("--jobs", jobs)
        if quick, plan != nil { throw ValidationError("--quick is a plan of its own") }
    }

    /// The page to be written, which is called `name` in the folder unless it was named.
    func plottedPage(_ name: String) -> PlottedPage {
        PlottedPage(path: page ?? "\(into)/\(name)")
    }

    /// The error where the folder is empty.
    var noRuns: CommandError {
        CommandError(.missingInput, "there are no runs in \(into); give --corpus")
    }

    /// What --json prints.
    private struct Summary<Run: Encodable>: Encodable {
        var page: String
        var runs: [Run]
        var verdicts: [Verdict]?
    }

    /// Says what `page` is made of, and what was asked, if anything was.
    func show(
        _ runs: [some Encodable], verdicts: [Verdict]? = nil, on page: PlottedPage
    ) throws {
        guard json else {
            Terminal.printLine("\(runs.count) runs: \(page.path)")
            return
        }
        Terminal.printLine(try Summary(page: page.path, runs: runs, verdicts: verdicts).jsonLine())
    }
}
