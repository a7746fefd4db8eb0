import ArgumentParser
import Status

struct StopCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stop", abstract: "Ends a run: drains it and keeps a checkpoint.")

    @OptionGroup var selection: RunSelection
    @OptionGroup var output: ReplyOutput

    func run() async throws { try await output.perform(.stop, on: selection) }
}

struct CheckpointCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "checkpoint", abstract: "Has a run write a checkpoint.")

    @OptionGroup var selection: RunSelection
    @OptionGroup var output: ReplyOutput

    func run() async throws { try await output.perform(.checkpoint, on: selection) }
}

struct DrainCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "drain", abstract: "Lets a worker leave a run after its open round.")

    @Argument(help: "The worker's name.")
    var worker: String

    @OptionGroup var selection: RunSelection
    @OptionGroup var output: ReplyOutput

    func validate() throws {
        guard isNodeName(worker) else {
            throw ValidationError("WORKER: \"\(worker)\" cannot be the name of a worker")
        }
    }

    func run() async throws { try await output.perform(.drain(worker: worker), on: selection) }
}

/// How the answer to a command is printed.
struct ReplyOutput: ParsableArguments {
    @Flag(help: "Print JSON.")
    var json = false

    func perform(_ command: StatusCommand, on selection: RunSelection) async throws {
        let message = try await selection.client().perform(command)
        Terminal.printLine(json ? "{\"message\":\(jsonString(message))}" : message)
    }
}
