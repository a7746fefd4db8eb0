import ArgumentParser
import Cluster
import Foundation
import Status
import Tensors
import Testing
import Wire

@testable import martlet

@Suite struct UpTests {
    @Test func nothingIsOverwritten() throws {
        try inTemporaryFolder { base in
            var configuration = RunConfiguration()
            configuration.folder = base + "/mine"
            #expect(try RunFolder.choose(for: configuration, resumes: false).path == base + "/mine")
            try mark(base + "/mine")
            // A start that failed has left nothing to lose.
            #expect(try RunFolder.choose(for: configuration, resumes: false).path == base + "/mine")
            try FileManager.default.createDirectory(
                atPath: base + "/mine/checkpoints/checkpoint-000004",
                withIntermediateDirectories: true)
            let error = #expect(throws: CommandError.self) {
                try RunFolder.choose(for: configuration, resumes: false)
            }
            #expect(error?.status == .cannotCreate)
            #expect(
                error?.message == "\(base)/mine already holds a run; --resume goes on with it, "
                    + "--set folder=PATH starts another")
        }
    }

    @Test func resumeNeedsACheckpoint() throws {
        try inTemporaryFolder { base in
            var configuration = RunConfiguration()
            configuration.folder = base + "/mine"
            try mark(base + "/mine")
            let error = #expect(throws: CommandError.self) {
                try RunFolder.choose(for: configuration, resumes: true)
            }
            #expect(
                error
                    == CommandError(
                        .missingInput, "nothing to resume in \(base)/mine: no checkpoint"))
            try FileManager.default.createDirectory(
                atPath: base + "/mine/checkpoints/checkpoint-000004",
                withIntermediateDirectories: true)
            #expect(try RunFolder.choose(for: configuration, resumes: true).path == base + "/mine")
        }
    }

    @Test func unwritableFolderHasOneLine() throws {
        try inTemporaryFolder { base in
            try "in the way".write(toFile: base + "/file", atomically: true, encoding: .utf8)
            let folder = RunFolder(path: base + "/file/run")
            let error = #expect(throws: CommandError.self) {
                try folder.prepare(LoadedConfiguration(), nodes: [])
            }
            #expect(error?.status == .cannotCreate)
            #expect(error?.message.hasPrefix("cannot make the run folder \(base)/file/run") == true)
        }
    }

    @Test func everyNodeIsToldWhatItNeeds() throws {
        var configuration = RunConfiguration()
        configuration.cluster.port = 7000
        configuration.cluster.workers = [
            WorkerSection(
                name: "slow", throttle: 0.4, threads: 2, precision: .bf16, recomputes: true)
        ]
        let plan = UpPlan(
            configuration: configuration, folder: RunFolder(path: "runs/x"), resumes: true)
        #expect(plan.nodes.map(\.title) == ["coordinator", "shard-1", "shard-2", "worker slow"])
        #expect(plan.coordinatorArguments.last == "--resume")
        #expect(plan.coordinatorArguments.contains("127.0.0.1:7000"))
        let shard = plan.arguments(of: plan.shards[1], coordinator: "h:1")
        #expect(shard.contains("127.0.0.1:7002"))
        let worker = plan.arguments(of: plan.workers[0], coordinator: "h:1")
        #expect(
            worker == [
                "worker", "--coordinator", "h:1", "--identity",
                "runs/x/identities/slow.identity.pem", "--throttle", "0.4", "--threads", "2",
                "--dtype", "bf16", "--state", "runs/x/workers/slow", "--lifeline", "--recompute",
            ])
        var watched = plan
        watched.timelines = "lines"
        let told = watched.arguments(of: plan.workers[0], coordinator: "h:1")
        #expect(told == worker + ["--timeline", "lines/slow.json"])
        // What `up` writes, its children's command line must read.
        for arguments in [plan.coordinatorArguments, shard, worker, told] {
            #expect(throws: Never.self) { try Martlet.parseAsRoot(arguments) }
        }
    }

    @Test func childrenDoNotSeeKeysTwice() {
        let own = ["MARTLET_SEED": "1", "MARTLET_ISA": "portable", "PATH": "/bin"]
        #expect(UpPlan.environment(from: own) == ["MARTLET_ISA": "portable", "PATH": "/bin"])
    }

    @Test func theLastErrorOfAChildIsPassedOn() throws {
        try inTemporaryFolder { base in
            let path = base + "/c.log"
            let node = NodeID(role: .coordinator, name: "coordinator")
            try "martlet: error: old\ninfo\nmartlet: error: the corpus is empty\n".write(
                toFile: path, atomically: true, encoding: .utf8)
            let log = ChildLog(path: path)
            #expect(
                log.failure(of: node, .code(66))
                    == CommandError(
                        .missingInput, "coordinator: the corpus is empty (log: \(path))"))
            #expect(
                log.failure(of: node, .signal(9))
                    == CommandError(
                        .interrupted,
                        "coordinator was killed by signal 9; see \(path), then martlet up --resume")
            )
        }
    }

    @Test func sampleCannotTouchTheTerminal() throws {
        var status = Martlet_V1_RunStatus()
        status.state = .finished
        status.heldOutLoss = 2
        let answer = StatusAnswer(status: status, json: status.json)
        let plan = UpPlan(
            configuration: RunConfiguration(), folder: RunFolder(path: "runs/x"), resumes: false)
        let summary = UpSummary(
            UpEnding(first: nil, last: answer, wasStopped: false), plan: plan)
        let text = summary.text(sample: "a\u{1B}[2J\nb")
        #expect(text.contains("  | a?[2J\n  | b\n"))
        let json =
            try JSONSerialization.jsonObject(
                with: Data(summary.json(sample: "a\u{1B}\n\"").utf8)) as? [String: Any]
        #expect(json?["sample"] as? String == "a\u{1B}\n\"")
    }

    private func mark(_ folder: String) throws {
        try FileManager.default.createDirectory(
            atPath: folder, withIntermediateDirectories: true)
        try "".write(toFile: folder + "/run.yaml", atomically: true, encoding: .utf8)
    }

    private func inTemporaryFolder(_ body: (String) throws -> Void) throws {
        let folder = NSTemporaryDirectory() + "martlet-" + UUID().uuidString
        try FileManager.default.createDirectory(
            atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try body(folder)
    }
}
