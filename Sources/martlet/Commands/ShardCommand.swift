import ArgumentParser
import Cluster

struct ShardCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "shard", abstract: "Runs a shard server, which holds global parameters.")

    @Option(help: ArgumentHelp("Where the coordinator listens.", valueName: "host:port"))
    var coordinator: Address

    @Option(help: ArgumentHelp("The shard server's identity file.", valueName: "file"))
    var identity: String

    @Option(help: ArgumentHelp("Where to listen; port 0 for any free one.", valueName: "host:port"))
    var listen: Address

    @Flag(help: .hidden)
    var lifeline = false

    func run() async throws {
        try await ShardProcess.run(
            ShardLaunch(
                coordinator: coordinator, identity: identity, listen: listen,
                hasLifeline: lifeline))
    }
}

/// What a shard server's process is told.
struct ShardLaunch: Sendable {
    var coordinator: Address
    /// Path of the identity file.
    var identity: String
    var listen: Address
    /// Whether the process ends when its standard input does.
    var hasLifeline: Bool
}
