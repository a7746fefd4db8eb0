import Testing

/// What only the composition root may do, and what nobody may.
@Suite struct BanTests {
    struct Ban {
        /// As for ``SourceText/lines(with:)``.
        let patterns: [String]
        /// Folders and files of `Sources` to which it does not apply.
        let homes: [String]
        /// What to do instead.
        let advice: String

        init(_ patterns: String..., homes: [String] = [], advice: String) {
            self.patterns = patterns
            self.homes = homes
            self.advice = advice
        }
    }

    static let root = "Sources/martlet"

    static let bans = [
        // Tasks and time: a simulation must be able to own both.
        Ban(
            "Task . detached",
            advice: "start child tasks in a group: what is detached nobody waits for"),
        Ban(
            "Task (", "Task {", "Task . init", "Task . immediate",
            homes: [root, "Sources/Cluster/InMemory/Simulation.swift"],
            advice: "start child tasks in a group; only the root and a simulation begin tasks"),
        Ban(
            "ContinuousClock", "SuspendingClock", "Task . sleep", "usleep", "nanosleep",
            homes: [root, "Sources/Cluster/System/ClusterClock.swift"],
            advice: "take a ClusterClock as an argument"),
        Ban(
            "Date ( )", "Date . now", homes: [root],
            advice: "take the time as an argument"),
        Ban(
            "NIODeadline . now", ". now ( )",
            homes: [root, "Sources/Cluster/TCP", "Sources/Status/StatusClient.swift"],
            advice: "only timers of sockets use the event loop's time; take a ClusterClock"),
        Ban("Thread", "pthread_create", homes: [root], advice: "threads belong to the root"),
        // Randomness and identity.
        Ban(
            "SystemRandomNumberGenerator", "UUID ( )", "shuffled ( )", "shuffle ( )",
            "randomElement ( )", "arc4random", "getrandom", "Hasher ( )", homes: [root],
            advice: "take a seed or a generator as an argument"),
        // The process and its surroundings.
        Ban(
            "print (", "debugPrint (", "dump (", "NSLog", "readLine", homes: [root],
            advice: "return the text, or log it"),
        Ban(
            "ProcessInfo", "getenv", "setenv", "CommandLine .", "exit (", "abort (", "_exit (",
            "signal (", homes: [root], advice: "the process is the root's alone"),
        // Ways to die, and to fool the compiler.
        Ban(
            "fatalError", "try !", "as !", "assertionFailure",
            advice: "precondition for programmers' errors, throw for the world's"),
        Ban(
            "@ unchecked", homes: ["Sources/Tensors/Buffer.swift"],
            advice: "use a value type, an actor or a Mutex; only a buffer vouches for itself"),
        Ban(
            "nonisolated ( unsafe )", "unsafeBitCast",
            advice: "make it safe for the compiler, not only for you"),
        Ban("public", advice: "between our modules, `package` is enough"),
        Ban(
            "DispatchQueue", "DispatchSource", "DispatchTime", "DispatchSemaphore", homes: [root],
            advice: "queues belong to the root"),
        // Pointers.
        Ban(
            "unsafe", "Unmanaged",
            homes: ["Sources/Storage", "Sources/Tensors", "Sources/Wire"] + unsafeFiles,
            advice: "pointers live in Tensors, Wire and Storage"),
        // Decisions and numbers come from values alone.
        Ban(
            "await", "async", "actor", "Task",
            homes: allBut([
                "Codec", "LocalSGD", "MoE", "Tensors", "Wire",
            ]), advice: "pure modules wait for nothing: return an effect"),
    ]

    /// Single files outside those modules in which a C function or the runtime leaves no choice.
    private static let unsafeFiles = [
        // libzstd.
        "Sources/Codec/Zstandard.swift",
        // A job is run by an executor of our own.
        "Sources/Cluster/InMemory/Simulation.swift",
        "Sources/martlet/Processes/WorkerProcess.swift",
        // open, read and write, for files that only their owner may read.
        "Sources/Cluster/Identity/IdentityFile.swift",
        // ioctl, for the width of the terminal.
        "Sources/martlet/Terminal.swift",
    ]

    private static func allBut(_ modules: Set<String>) -> [String] {
        ImportTests.modules.map(\.name).filter { !modules.contains($0) }.map { "Sources/" + $0 }
    }

    @Test func nobodyDoesWhatIsBanned() { expectNone(Package.swiftSources.flatMap(Self.offences)) }

    @Test func filesWithLeaveStillExist() {
        for home in Self.bans.flatMap(\.homes) {
            #expect(Package.holds(home), "\(home) is gone: strike it out")
        }
    }

    static func offences(in file: SourceText) -> [Finding] {
        guard !file.isGenerated else { return [] }
        return bans.flatMap { ban -> [Finding] in
            guard !ban.homes.contains(where: file.isUnder) else { return [] }
            return ban.patterns.flatMap { pattern in
                file.lines(with: pattern).map { line in
                    let what = pattern.split(separator: " ").joined()
                    return Finding(file, line, "\(what): \(ban.advice)")
                }
            }
        }
    }

    // MARK: The rules can fail

    @Test(arguments: bans.flatMap(\.patterns))
    func everyBanIsFelt(_ pattern: String) {
        let text = "let a = 1\n" + pattern.split(separator: " ").joined() + "\n"
        let found = Self.offences(in: SourceText("Sources/LocalSGD/Forbidden.swift", text))
        #expect(found.contains { $0.line == 2 })
    }

    @Test func whatIsSaidInPassingIsNoOffence() {
        let text = """
            // fatalError, print(x), unsafe
            let text = "Task.detached { unsafe }"
            let isUnsafe = footprint(1)
            if try !isUnsafe {}
            """
        #expect(Self.offences(in: SourceText("Sources/LocalSGD/A.swift", text)).isEmpty)
    }
}
