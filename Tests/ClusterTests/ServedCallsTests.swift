import Testing

@testable import Cluster

@Suite("Calls that are served at once")
struct ServedCallsTests {
    private let a = NodeID(role: .worker, name: "a")
    private let b = NodeID(role: .worker, name: "b")

    @Test("A peer has so many calls and no more, whatever the others have")
    func calls() {
        var served = ServedCalls()
        for _ in 0..<ServedCalls.callsMax { #expect(served.admit(bytes: 1, from: a) == nil) }
        #expect(served.admit(bytes: 0, from: a) == "256 calls of yours")
        #expect(served.admit(bytes: 1, from: b) == nil)
        served.end(bytes: 1, from: a)
        #expect(served.admit(bytes: 1, from: a) == nil)
        #expect(served.admit(bytes: 1, from: a) != nil)
    }

    @Test("A peer has so many bytes; one call is let in whatever it has")
    func bytes() {
        var served = ServedCalls()
        let most = ServedCalls.bytesMax
        #expect(served.admit(bytes: most - 10, from: a) == nil)
        #expect(served.admit(bytes: 11, from: a) == "\(most - 10) bytes of yours")
        #expect(served.admit(bytes: 10, from: a) == nil)
        #expect(served.admit(bytes: 1, from: a) != nil)
        served.end(bytes: most - 10, from: a)
        #expect(served.loads[a] == ServedCalls.Load(calls: 1, bytes: 10))
        served.end(bytes: 10, from: a)
        #expect(served.loads.isEmpty)
        #expect(served.admit(bytes: most + 1, from: a) == nil)
        #expect(served.admit(bytes: 0, from: a) != nil)
    }
}
