import ArgumentParser
import FoundationEssentials
import Status

/// The options that say which run a command is about.
struct RunSelection: ParsableArguments {
    @Option(help: ArgumentHelp("The run's status socket.", valueName: "path"))
    var socket: String?

    @Option(help: ArgumentHelp("The run's folder.", valueName: "folder"))
    var run: String?

    func validate() throws {
        guard socket == nil || run == nil else {
            throw ValidationError("give --socket or --run, not both")
        }
    }

    /// The run that was named, or else the only one that answers in `runs/`.
    func client() async throws -> StatusClient {
        if let socket { return StatusClient(path: socket) }
        if let run { return StatusClient(path: RunFolder(path: run).statusSocket) }
        let paths = RunFolder.all(in: RunFolder.home).map(\.statusSocket)
        var answering: [String] = []
        for path in paths where FileManager.default.fileExists(atPath: path) {
            if (try? await StatusClient(path: path).fetch()) != nil { answering.append(path) }
        }
        guard let only = answering.first else {
            throw StatusError(
                .noRun,
                "no run answers in \(RunFolder.home)/; start one with martlet up, or say "
                    + "--socket PATH")
        }
        guard answering.count == 1 else {
            throw CommandError(
                .usage,
                "several runs answer; choose one with --socket: "
                    + answering.joined(separator: ", "))
        }
        return StatusClient(path: only)
    }
}
