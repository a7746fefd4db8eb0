import ArgumentParser
import Cluster
import Testing

@testable import martlet

@Suite struct CommandLineTests {
    @Test(arguments: [
        ("127.0.0.1:80", "127.0.0.1", 80), ("host.example:0", "host.example", 0),
        ("[::1]:443", "::1", 443),
    ])
    func addresses(_ text: String, _ host: String, _ port: Int) {
        #expect(Address(argument: text) == Address(host: host, port: port))
    }

    @Test(arguments: ["", ":80", "host", "host:", "host:x", "host:65536", "host:-1", "::1:80"])
    func impossibleAddresses(_ text: String) {
        #expect(Address(argument: text) == nil)
    }

    @Test(arguments: [
        ["worker", "--coordinator", "h:1", "--identity", "f", "--throttle", "0"],
        ["worker", "--coordinator", "h:1", "--identity", "f", "--threads", "0"],
        ["worker", "--coordinator", "h", "--identity", "f"],
        ["ca", "issue", "king", "bob"], ["ca", "issue", "worker", "Bob"],
        ["generate", "--model", "m", "--prompt", "p", "--top-p", "0"],
        ["generate", "--model", "m", "--prompt", "p", "--max-tokens", "0"],
        ["generate", "--model", "m", "--prompt", "p", "--threshold", "1"],
        ["generate", "--model", "m", "--prompt", "p", "--routing", "sere"],
        ["eval", "--model", "m", "--ids", "i", "--dump", "d", "--threads", "0"],
        [
            "eval", "--model", "m", "--ids", "i", "--dump", "d", "--routing", "topk",
            "--threshold", "0.5",
        ],
        ["eval", "--model", "m", "--ids", "i", "--dump", "d", "--dtype", "fp8"],
        ["eval", "--model", "m", "--ids", "i"],
        ["timeline"], ["timeline", "f", "--rounds", "7-4"],
        ["bench", "beam"], ["bench", "beam", "--into", "f", "--jobs", "0"],
        ["bench", "beam", "--into", "f", "--quick", "--plan", "p"],
        ["bench", "beam", "--into", "f", "--seeds", "0"],
        ["bench", "convergence", "--into", "f", "--quick", "--plan", "p"],
        ["drain", "../x"], ["status", "--socket", "a", "--run", "b"], ["fly"],
    ])
    func wrongCommandLinesAreRefused(_ arguments: [String]) {
        #expect(throws: (any Error).self) { try Martlet.parseAsRoot(arguments) }
    }

    /// What both comparisons take, each beside options of its own.
    @Test func comparisonsShareOptions() throws {
        let shared = ["--corpus", "a", "b", "--into", "f", "--jobs", "1", "--json", "--quick"]
        let beam = try #require(
            try Martlet.parseAsRoot(["bench", "beam"] + shared) as? BenchBeamCommand)
        let convergence = try #require(
            try Martlet.parseAsRoot(["bench", "convergence", "--seeds", "2"] + shared)
                as? BenchConvergenceCommand)
        for options in [beam.options, convergence.options] {
            #expect(options.corpus == ["a", "b"])
            #expect(options.jobs == 1 && options.json && options.quick)
            #expect(options.plottedPage("beam.md").path == "f/beam.md")
        }
        #expect(convergence.seeds == 2)
    }

    @Test func exitStatusesAreDistinctAndExplained() {
        #expect(Set(ExitStatus.allCases.map(\.meaning)).count == ExitStatus.allCases.count)
    }

    @Test func unknownErrorsAreDefectsOnOneLine() {
        struct Odd: Error { let text = "a\nb" }
        let error = CommandError(describing: Odd())
        #expect(error.status == .defect)
        #expect(!error.message.contains("\n"))
    }
}
