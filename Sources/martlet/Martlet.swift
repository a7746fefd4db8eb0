import ArgumentParser
import Glibc

/// `martlet`: one program for every role of a cluster and for the person who looks after it.
@main
struct Martlet: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "martlet",
        abstract: "Trains Mixture-of-Experts language models on machines that come and go.",
        discussion: """
            Start with: martlet up --config deploy/local/demo.yaml

            Every command ends with 0 if all went well, and otherwise prints one line that begins \
            with "martlet: error:" and ends with a number that says what kind of mistake it was; \
            the README lists them.
            """,
        subcommands: [
            UpCommand.self, CertificateCommand.self, CoordinatorCommand.self, ShardCommand.self,
            WorkerCommand.self, StatusCommandLine.self, CheckpointCommand.self, DrainCommand.self,
            StopCommand.self, DataCommand.self, GenerateCommand.self, EvaluateCommand.self,
            TimelineCommand.self, BenchCommand.self,
        ])

    static func main() async {
        // A reader that goes away (`martlet status | head`) shows as a failed write instead.
        _ = signal(SIGPIPE, SIG_IGN)
        Log.bootstrap()
        do {
            var command = try parseAsRoot()
            if var command = command as? any AsyncParsableCommand {
                try await command.run()
            } else {
                try command.run()
            }
        } catch {
            end(with: error)
        }
    }

    /// Prints one line and ends the process; help and versions are printed as they are.
    private static func end(with error: any Error) -> Never {
        if error is any CommandFailure || exitCode(for: error) == .failure {
            let failure = CommandError(describing: error)
            Terminal.printError(failure.message)
            Glibc.exit(failure.status.rawValue)
        }
        if exitCode(for: error) == .success { exit(withError: error) }
        let line = message(for: error).split(whereSeparator: \.isNewline).first ?? "bad usage"
        Terminal.printError("\(line) (martlet --help explains)")
        Glibc.exit(ExitStatus.usage.rawValue)
    }
}
