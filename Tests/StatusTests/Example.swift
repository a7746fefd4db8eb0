import Foundation
import Logging
import Status
import Synchronization
import Wire

/// A run in the middle, every field filled.
func exampleStatus() -> Martlet_V1_RunStatus {
    var status = Martlet_V1_RunStatus()
    status.id = "5f3c"
    status.name = "demo"
    status.state = .training
    status.reason = "as \"planned\"\n"
    status.round = 17
    status.roundsTotal = 60
    status.steps = 1234
    status.tokens = 1 << 60
    status.lostTokens = 10
    status.trainLoss = 2.5
    status.heldOutLoss = 2.625
    status.heldOutRound = 16
    status.bestHeldOutLoss = 2.5
    status.elapsedSeconds = 62.25
    status.remainingSeconds = 130
    status.tokensPerSecond = 12345.5
    status.bytesUp = 5_000_000
    status.bytesDown = 6_000_000
    status.bytesUpPerToken = 341.5
    status.bytesDownPerToken = 402
    status.contributionsApplied = 51
    status.contributionsLate = 1
    status.contributionsStale = 2
    status.members = [
        member("coordinator", .coordinator, .active), member("shard-1", .shard, .active),
        member("worker-1", .worker, .active), member("worker-2", .worker, .lost),
    ]
    for (index, name) in ["embedding", "layers.0", "head"].enumerated() {
        var module = Martlet_V1_Module()
        module.name = name
        module.version = UInt64(1017 + index)
        module.shard = "shard-1"
        module.parameters = UInt64(1000 * (index + 1))
        status.modules.append(module)
    }
    status.checkpoint.path = "runs/demo/checkpoints/checkpoint-000010"
    status.checkpoint.round = 10
    var point = Martlet_V1_LossPoint()
    point.round = 1
    point.tokens = 1024
    point.seconds = 0.5
    point.trainLoss = 5.5
    point.activeExperts = 2
    status.history = [point]
    status.parameters = 3_600_000
    status.activeExperts = 1.75
    status.emptyShare = 0.125
    status.maskCoefficient = 0.03
    status.masks = [(2.5, 0.0), (1.0, 0.25)].map { active, empty in
        var share = Martlet_V1_MaskShare()
        share.activeExperts = active
        share.emptyShare = empty
        return share
    }
    return status
}

func member(
    _ name: String, _ role: Martlet_V1_Member.Role, _ state: Martlet_V1_Member.State
) -> Martlet_V1_Member {
    var member = Martlet_V1_Member()
    member.name = name
    member.role = role
    member.state = state
    member.incarnation = 1
    member.address = "127.0.0.1:4000"
    member.tokensPerSecond = 4000
    member.tokens = 100_000
    member.bytesUp = 1_500_000
    member.bytesDown = 1_600_000
    member.lastSeenSeconds = 0.25
    member.round = 17
    member.stepsInRound = 3
    member.throttle = 0.4
    member.trainLoss = 2.5
    return member
}

/// A run that tests can change, and the commands it was given.
final class FakeRun: Sendable {
    struct State: Sendable {
        var status = exampleStatus()
        var commands: [StatusCommand] = []
    }

    let state = Mutex(State())

    var source: StatusSource {
        StatusSource(
            snapshot: { self.state.withLock { $0.status } },
            perform: { command in
                if command == .drain(worker: "nobody") {
                    throw StatusError(.refused, "there is no worker nobody")
                }
                if command == .checkpoint { throw Unforeseen() }
                self.state.withLock { $0.commands.append(command) }
                return "it will be done"
            },
            pause: { _ in try await Task.sleep(for: .milliseconds(2)) })
    }

    struct Unforeseen: Error {}
}

/// A short unique path: sockets have room for 107 bytes.
func temporarySocket() -> String { "/tmp/martlet-\(UUID().uuidString.prefix(13)).sock" }

/// Runs `body` while a server serves `run` at `path`.
func withServer(
    _ run: FakeRun = FakeRun(), path: String = temporarySocket(),
    _ body: (String, FakeRun) async throws -> Void
) async throws {
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    let server = StatusServer(path: path, source: run.source, logger: logger)
    let (started, continuation) = AsyncStream<Bool>.makeStream()
    try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask {
            defer { continuation.yield(false) }
            try await server.run { continuation.yield(true) }
        }
        // A server that could not start has an error to say.
        if await started.first(where: { _ in true }) != true { try await group.next() }
        do {
            try await body(path, run)
        } catch {
            group.cancelAll()
            throw error
        }
        group.cancelAll()
    }
}

/// Runs a program to its end.
///
/// Returns what it printed.
func output(of program: String, _ arguments: [String]) async throws -> String {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = [program] + arguments
    let pipe = Pipe()
    process.standardOutput = pipe
    process.standardError = pipe
    try process.run()
    let handle = pipe.fileHandleForReading
    return await withCheckedContinuation { continuation in
        Thread.detachNewThread {
            let data = (try? handle.readToEnd()) ?? Data()
            continuation.resume(returning: String(decoding: data, as: UTF8.self))
        }
    }
}
