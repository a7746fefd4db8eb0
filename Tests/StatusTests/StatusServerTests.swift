import Foundation
import NIOCore
import NIOPosix
import Status
import Synchronization
import Testing
import Wire

@Suite struct StatusServerTests {
    @Test func curlReadsTheStatus() async throws {
        try await withServer { path, _ in
            let text = try await curl(path, "/v1/status")
            #expect(text == exampleStatus().json + "\n")
            let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions]
            #expect(mode as? Int == 0o600)
        }
    }

    @Test func theSocketIsGoneAfterwards() async throws {
        let path = temporarySocket()
        try await withServer(path: path) { _, _ in }
        #expect(!FileManager.default.fileExists(atPath: path))
    }

    @Test func clientReadsWhatTheServerTells() async throws {
        try await withServer { path, _ in
            let answer = try await StatusClient(path: path).fetch()
            #expect(answer.status == exampleStatus())
            #expect(answer.json == exampleStatus().json)
        }
    }

    @Test func commandsReachTheRun() async throws {
        try await withServer { path, run in
            let client = StatusClient(path: path)
            let reply = try await client.perform(.stop)
            #expect(reply == "it will be done")
            _ = try await client.perform(.drain(worker: "worker-1"))
            #expect(run.state.withLock { $0.commands } == [.stop, .drain(worker: "worker-1")])
            let refusal = await #expect(throws: StatusError.self) {
                try await client.perform(.drain(worker: "nobody"))
            }
            #expect(refusal?.code == .refused)
            #expect(refusal?.message == "there is no worker nobody")
        }
    }

    @Test(arguments: [
        (["/nothing"], "404"), (["/v1/stop"], "405"), (["-X", "POST", "/v1/status"], "405"),
        (["-X", "POST", "/v1/drain/"], "404"), (["-X", "POST", "/v1/drain/a/b"], "404"),
        (["-X", "POST", "/v1/drain/nobody"], "409"), (["-X", "POST", "/v1/checkpoint"], "500"),
        (["/livez"], "200"), (["/readyz"], "200"), (["/metrics"], "200"),
        (["-X", "DELETE", "/v1/status"], "405"), (["/v1/status/"], "404"),
    ])
    func everyRequestHasItsCode(_ request: [String], _ code: String) async throws {
        try await withServer { path, _ in
            let options = request.dropLast() + ["-o", "/dev/null", "-w", "%{http_code}"]
            let text = try await curl(path, request[request.count - 1], Array(options))
            #expect(text == code)
        }
    }

    @Test func readinessFollowsTheState() async throws {
        try await withServer { path, run in
            run.state.withLock { $0.status.state = .starting }
            let code = try await curl(path, "/readyz", ["-o", "/dev/null", "-w", "%{http_code}"])
            #expect(code == "503")
        }
    }

    @Test func malformedRequestsCostOnlyTheirConnection() async throws {
        try await withServer { path, _ in
            for text in [
                "\u{0}\u{1}\u{2}\r\n\r\n", "GET\r\n\r\n", "GET /v1/status HTTP/9.9\r\n\r\n",
                "GET /" + String(repeating: "a", count: 200_000) + " HTTP/1.1\r\n\r\n",
            ] {
                try await send(text, to: path)
            }
            let text = try await curl(path, "/livez")
            #expect(text == "alive\n")
        }
    }

    @Test func followersSeeChangesAndTheEnd() async throws {
        try await withServer { path, run in
            var rounds: [UInt64] = []
            try await StatusClient(path: path).follow { answer in
                rounds.append(answer.status.round)
                run.state.withLock {
                    // An answer under way as the end came may be heard behind it.
                    guard $0.status.state != .finished else { return }
                    $0.status.round += 1
                    if $0.status.round == 21 { $0.status.state = .finished }
                }
            }
            #expect(rounds.first == 17)
            #expect(rounds.last == 21)
            #expect(rounds == rounds.sorted())
        }
    }

    @Test func aSecondServerIsRefused() async throws {
        try await withServer { path, _ in
            let refusal = await #expect(throws: StatusError.self) {
                try await withServer(path: path) { _, _ in }
            }
            #expect(
                refusal?.message
                    == "another run answers at \(path); stop it, or choose another socket")
            let text = try await curl(path, "/livez")
            #expect(text == "alive\n")
        }
    }

    @Test func aDeadSocketIsReplaced() async throws {
        let path = temporarySocket()
        let group = MultiThreadedEventLoopGroup.singleton
        let dead = try await ServerBootstrap(group: group)
            .bind(unixDomainSocketPath: path + "-").get()
        // Under another name, closing does not find it: as after a SIGKILL.
        try FileManager.default.moveItem(atPath: path + "-", toPath: path)
        try await dead.close()
        #expect(FileManager.default.fileExists(atPath: path))
        try await withServer(path: path) { path, _ in
            let text = try await curl(path, "/livez")
            #expect(text == "alive\n")
        }
    }

    @Test func anotherFileIsLeftAlone() async throws {
        let path = temporarySocket()
        try "precious".write(toFile: path, atomically: true, encoding: .utf8)
        defer { try? FileManager.default.removeItem(atPath: path) }
        let refusal = await #expect(throws: StatusError.self) {
            try await withServer(path: path) { _, _ in }
        }
        #expect(refusal?.message == "\(path) exists and is not a socket; remove it first")
        #expect(try String(contentsOfFile: path, encoding: .utf8) == "precious")
    }

    @Test func impossiblePathsAreRefused() async throws {
        let long = "/tmp/" + String(repeating: "x", count: 103)
        let refusal = await #expect(throws: StatusError.self) {
            try await withServer(path: long) { _, _ in }
        }
        #expect(refusal?.message.contains("has 108 bytes; at most 107 are possible") == true)
        let missing = await #expect(throws: StatusError.self) {
            try await withServer(path: "/tmp/martlet-no-such-folder/s.sock") { _, _ in }
        }
        #expect(missing?.code == .address)
    }

    @Test func nobodyAnswers() async throws {
        let path = temporarySocket()
        let failure = await #expect(throws: StatusError.self) {
            try await StatusClient(path: path).fetch()
        }
        #expect(failure?.code == .noRun)
        #expect(failure?.message == "no run answers at \(path); start one with martlet up")
    }

    private func curl(
        _ socket: String, _ target: String, _ options: [String] = []
    ) async throws -> String {
        let all = ["-sS", "--max-time", "20", "--unix-socket", socket] + options
        return try await output(of: "curl", all + ["http://run\(target)"])
    }

    /// Writes bytes as they are and waits until the server has hung up or answered.
    private func send(_ text: String, to path: String) async throws {
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .connect(unixDomainSocketPath: path).get()
        try? await channel.writeAndFlush(ByteBuffer(string: text)).get()
        try? await channel.close(mode: .output).get()
        try? await channel.close().get()
    }
}
