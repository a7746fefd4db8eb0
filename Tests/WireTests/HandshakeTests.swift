import NIOCore
import Testing
import Wire

@Suite struct HandshakeTests {
    @Test(arguments: Hello.Lane.allCases)
    func helloSurvives(lane: Hello.Lane) throws {
        let hello = Hello(
            cluster: "c", role: "shard", name: "s-1", incarnation: .max, lane: lane)
        #expect(try Hello(decoding: hello.encode()) == hello)
    }

    @Test func helloNeedsALane() {
        #expect(throws: WireError(.malformed, "a hello names lane 0")) {
            try Hello(decoding: WirePayload())
        }
    }

    @Test(arguments: [[UInt8](repeating: 0xFF, count: 9), [0x12, 0x05, 0x41], [0x08]])
    func whatIsNoMessageIsRejected(bytes: [UInt8]) {
        let error = #expect(throws: WireError.self) {
            try Hello(decoding: WirePayload(message: ByteBuffer(bytes: bytes)))
        }
        #expect(error?.code == .malformed)
    }

    @Test func reasonsAreFitForALog() throws {
        let reason = "line\nfeed \u{1B}[31m" + String(repeating: "é", count: 1000)
        let refusal = try Refusal(decoding: Refusal(reason: reason).encode())
        #expect(refusal.reason.hasPrefix("line feed  [31mé"))
        #expect(refusal.reason.utf8.count <= Refusal.reasonBytesMax)
        let failure = Failure(code: "overloaded", text: "wait")
        #expect(try Failure(decoding: failure.encode()) == failure)
        #expect(try Welcome(decoding: Welcome(incarnation: 5).encode()) == Welcome(incarnation: 5))
    }

    @Test func nothingIsEmpty() {
        #expect(throws: Never.self) { try Nothing(decoding: Nothing().encode()) }
        #expect(throws: WireError.self) {
            try Nothing(decoding: WirePayload(bulk: ByteBuffer(bytes: [1])))
        }
    }
}
