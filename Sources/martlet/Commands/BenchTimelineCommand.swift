import ArgumentParser
import FoundationEssentials
import Storage

struct BenchTimelineCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "timeline",
        abstract: "Compares what synchronising cost in several runs of one worker.",
        discussion: """
            Takes every run folder below --runs in which the time line of worker-1 is at \
            timelines/worker-1.json, and writes a page with a table, and drawings to a folder \
            beside it. `make timeline` makes the runs.
            """)

    @Option(help: ArgumentHelp("The folder of run folders.", valueName: "folder"))
    var runs: String

    @Option(help: ArgumentHelp("The page with the table.", valueName: "file"))
    var page: String

    @Option(help: "What RUN_WITH was when the runs were made, for the page.")
    var runWith = ""

    @Flag(help: "Print JSON.")
    var json = false

    /// What --json prints.
    private struct Summary: Encodable {
        struct Run: Encodable {
            var codec: String
            var stepsAhead: Int
            var report: TimelineReport
        }

        var page: String
        var runs: [Run]
    }

    func run() throws {
        let results = try TimelinePage(folder: runs)
        let drawings = page.hasSuffix(".md") ? String(page.dropLast(3)) : page + ".drawings"
        let name = drawings.split(separator: "/").last.map(String.init) ?? drawings
        try RunFolder.make(drawings, "folder of drawings")
        for (run, svg) in try results.drawings() {
            try AtomicFile.write(Array(svg.utf8), to: "\(drawings)/\(run).svg")
        }
        try AtomicFile.write(
            Array(results.markdown(drawings: name, runWith: runWith).utf8), to: page)
        guard json else {
            for run in results.runs {
                Terminal.printLine("\(run.title)\n\(run.report.text)")
            }
            return Terminal.printLine(page)
        }
        let summary = Summary(
            page: page,
            runs: results.runs.map {
                Summary.Run(codec: $0.codec, stepsAhead: $0.stepsAhead, report: $0.report)
            })
        Terminal.printLine(try summary.jsonLine())
    }
}
