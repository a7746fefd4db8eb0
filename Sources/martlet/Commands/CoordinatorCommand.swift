import ArgumentParser
import Cluster

struct CoordinatorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "coordinator", abstract: "Runs the coordinator of a run.")

    @OptionGroup var source: ConfigurationOptions

    @Option(help: ArgumentHelp("The coordinator's identity file.", valueName: "file"))
    var identity: String

    @Option(help: ArgumentHelp("Where to listen; port 0 for any free one.", valueName: "host:port"))
    var listen: Address

    @Option(help: ArgumentHelp("The Unix socket for martlet status.", valueName: "socket"))
    var status: String?

    @Flag(help: "Go on from the newest checkpoint in the run folder.")
    var resume = false

    @Flag(help: .hidden)
    var lifeline = false

    func run() async throws {
        let loaded = try source.load()
        // `martlet up` has said it already.
        if !lifeline {
            for warning in loaded.warnings { Terminal.printNote("warning: \(warning)") }
        }
        try await CoordinatorProcess.run(
            CoordinatorLaunch(
                configuration: loaded.configuration, identity: identity, listen: listen,
                statusSocket: status ?? loaded.configuration.statusSocketPath, resumes: resume,
                hasLifeline: lifeline))
    }
}

/// What a coordinator's process is told.
struct CoordinatorLaunch: Sendable {
    var configuration: RunConfiguration
    /// Path of the identity file.
    var identity: String
    var listen: Address
    var statusSocket: String
    var resumes: Bool
    /// Whether the process ends when its standard input does.
    var hasLifeline: Bool
}
