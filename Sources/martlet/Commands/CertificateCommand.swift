import ArgumentParser
import Cluster

struct CertificateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ca", abstract: "Runs the cluster's own certificate authority.",
        subcommands: [Initialize.self, Issue.self])

    struct Initialize: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "init", abstract: "Makes a certificate authority in a folder.",
            discussion: "Whoever can read ca.key there can join the cluster. Nothing is replaced.")

        @Option(help: ArgumentHelp("Where to make it.", valueName: "folder"))
        var folder = "ca"

        func run() throws {
            try Authority.create(in: folder)
            Terminal.printLine("made the certificate authority \(folder)")
        }
    }

    struct Issue: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "issue", abstract: "Issues an identity file for one process.")

        @Argument(help: "What the process may be: coordinator, shard, worker or operator.")
        var role: Role

        @Argument(help: "Its name: lower-case letters, digits and hyphens.")
        var name: String

        @Option(help: ArgumentHelp("The certificate authority's folder.", valueName: "folder"))
        var ca = "ca"

        @Option(help: ArgumentHelp("Where to put the file.", valueName: "folder"))
        var into = "."

        func validate() throws {
            guard isNodeName(name) else {
                throw ValidationError(
                    "NAME: found \"\(name)\", allowed is 1 to 63 lower-case letters, digits and "
                        + "hyphens, not starting with a hyphen")
            }
        }

        func run() throws {
            let path = try Authority.issue(role, name: name, from: ca, into: into)
            Terminal.printLine(path)
        }
    }
}

extension Role: ExpressibleByArgument {}
