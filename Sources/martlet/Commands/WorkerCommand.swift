import ArgumentParser
import Cluster
import Tensors

struct WorkerCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "worker", abstract: "Runs a worker, which trains.",
        discussion: """
            It may join and leave a run at any time. Its identity comes from \
            `martlet ca issue worker NAME`.
            """)

    @Option(help: ArgumentHelp("Where the coordinator listens.", valueName: "host:port"))
    var coordinator: Address

    @Option(help: ArgumentHelp("The worker's identity file.", valueName: "file"))
    var identity: String

    @Option(help: "Share of full speed to keep to, above 0 and up to 1.")
    var throttle = 1.0

    @Option(help: "Threads to compute with, 1 to 256.")
    var threads = 1

    @Option(help: "What weights and activations are made of: fp32 or bf16.")
    var dtype: Precision = .fp32

    @Flag(help: "Keep less of the forward pass and compute it again in the backward pass.")
    var recompute = false

    @Option(
        help: ArgumentHelp(
            "Where to keep the inner optimizer's state for a resume; without it, none is kept.",
            valueName: "folder"))
    var state: String?

    @Option(
        help: ArgumentHelp(
            "Where to write what takes the worker's time, for `martlet timeline` and Perfetto: "
                + "at most \(TraceEvents.spansMax) events, about 40 MB; a file there is replaced.",
            valueName: "file"))
    var timeline: String?

    @Flag(help: .hidden)
    var lifeline = false

    func validate() throws {
        guard Bounds.above(0, to: 1).contains(throttle) else {
            throw ValidationError("--throttle: found \(throttle), allowed is above 0 and up to 1")
        }
        guard (1...256).contains(threads) else {
            throw ValidationError("--threads: found \(threads), allowed is 1 to 256")
        }
    }

    func run() async throws {
        try await WorkerProcess.run(
            WorkerLaunch(
                coordinator: coordinator, identity: identity, throttle: throttle,
                threads: threads, precision: dtype, recomputes: recompute, stateFolder: state,
                timeline: timeline, hasLifeline: lifeline))
    }
}

/// What a worker's process is told.
struct WorkerLaunch: Sendable {
    var coordinator: Address
    /// Path of the identity file.
    var identity: String
    /// Share of full speed, above 0 and up to 1.
    var throttle: Double
    var threads: Int
    var precision: Precision
    /// Whether the backward pass computes activations again.
    var recomputes: Bool
    /// Where the inner optimizer's state is kept, if at all.
    var stateFolder: String?
    /// Path of the file for the time line, if one is wanted.
    var timeline: String?
    /// Whether the process ends when its standard input does.
    var hasLifeline: Bool
}

extension Precision: ExpressibleByArgument {}
