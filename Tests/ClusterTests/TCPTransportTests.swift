import Cluster
import Foundation
import NIOCore
import Testing
import Wire

@Suite(.timeLimit(.minutes(1))) struct TCPTransportTests {
    private let anna = NodeID(role: .worker, name: "anna")
    private let lead = NodeID(role: .coordinator, name: "lead")

    @Test func framesTravelInOrderOnBothLanes() async throws {
        let cluster = try TCPTestCluster()
        try await cluster.withNode(.coordinator, "lead", incarnation: 3) { server, atServer in
            try await cluster.withNode(.worker, "anna", incarnation: 7, listens: false) {
                client, atClient in
                let found = try await client.connect(to: server.address, role: .coordinator)
                #expect(found == lead)
                for number in 0..<200 {
                    let frame = Frame(
                        kind: .call, callID: UInt64(number), method: 9, deadline: .seconds(1),
                        payload: WirePayload(message: ByteBuffer(string: "number \(number)")))
                    try client.send(frame, to: lead, lane: number % 2 == 0 ? .control : .bulk)
                }
                await atServer.waitForFrames(200)
                #expect(atServer.events.first?.isConnected(anna) == true)
                guard case .connected(_, incarnation: 7)? = atServer.events.first else {
                    Issue.record("\(atServer.events[0])")
                    return
                }
                let ids = atServer.frames.map(\.callID)
                let even = ids.filter { $0 % 2 == 0 }
                let odd = ids.filter { $0 % 2 == 1 }
                #expect(even == Array(stride(from: 0, to: 200, by: 2)))
                #expect(odd == Array(stride(from: 1, to: 200, by: 2)))
                #expect(atServer.frames.allSatisfy { $0.method == 9 && $0.deadline == .seconds(1) })
                try server.send(Frame(kind: .reply, callID: 5), to: anna, lane: .control)
                await atClient.waitForFrames(1)
                #expect(atClient.frames == [Frame(kind: .reply, callID: 5)])
                #expect(atClient.events.first?.isConnected(lead) == true)
                #expect(try await client.connect(to: server.address, role: .coordinator) == lead)
                #expect(atClient.events.count(where: \.isConnection) == 1)
            }
            await atServer.waitForLoss(of: anna)
            #expect(atServer.events.count { $0.isLost(anna) } == 1)
        }
    }

    @Test func largeBulkArrivesWholeAndPingsStayShort() async throws {
        let cluster = try TCPTestCluster()
        var configuration = TCPConfiguration()
        configuration.pingInterval = .milliseconds(5)
        let pattern = ByteBuffer(bytes: (0..<65_536).map { UInt8(truncatingIfNeeded: $0 * 7 >> 3) })
        var bulk = ByteBuffer()
        for _ in 0..<1024 { bulk.writeImmutableBuffer(pattern) }
        try await cluster.withNode(.shard, "s1", configuration: configuration) { server, atServer in
            try await cluster.withNode(.worker, "anna", configuration: configuration) { client, _ in
                let peer = try await client.connect(to: server.address, role: .shard)
                for number in 0..<4 {
                    let frame = Frame(
                        kind: .call, callID: UInt64(number), payload: WirePayload(bulk: bulk))
                    try client.send(frame, to: peer, lane: .bulk)
                }
                await atServer.waitForFrames(4)
                #expect(atServer.frames.map(\.callID) == [0, 1, 2, 3])
                #expect(atServer.frames.allSatisfy { $0.payload.bulk == bulk })
                let roundTrips = try #require(client.roundTrips(to: peer))
                #expect(roundTrips.count > 3)
                #expect(roundTrips.longest < .milliseconds(100))
            }
        }
    }

    @Test func aNewerLifeReplacesTheOlderOne() async throws {
        let cluster = try TCPTestCluster()
        try await cluster.withNode(.coordinator, "lead") { server, atServer in
            try await cluster.withNode(.worker, "anna", incarnation: 5) { old, atOld in
                _ = try await old.connect(to: server.address, role: .coordinator)
                try await cluster.withNode(.worker, "anna", incarnation: 6) { new, _ in
                    _ = try await new.connect(to: server.address, role: .coordinator)
                    await atServer.waitForConnection(of: anna, count: 2)
                    await atOld.waitForLoss(of: lead)
                    let order = atServer.events.map { $0.isLost(anna) }
                    #expect(order == [false, true, false])
                    // The older one is not let in again, nor is one of the same incarnation.
                    for incarnation in [5, 6] as [UInt64] {
                        try await cluster.withNode(.worker, "anna", incarnation: incarnation) {
                            late, _ in
                            let error = await #expect(throws: ClusterError.self) {
                                try await late.connect(to: server.address, role: .coordinator)
                            }
                            #expect(error?.code == .refused)
                            #expect(error?.message.contains("connected already") == true)
                        }
                    }
                    try new.send(Frame(kind: .call, callID: 1), to: lead, lane: .control)
                    await atServer.waitForFrames(1)
                    #expect(atServer.events.count { $0.isLost(anna) } == 1)
                }
            }
        }
    }

    @Test func disconnectingSendsWhatIsQueuedFirst() async throws {
        let cluster = try TCPTestCluster()
        try await cluster.withNode(.coordinator, "lead") { server, atServer in
            try await cluster.withNode(.worker, "anna") { client, atClient in
                _ = try await client.connect(to: server.address, role: .coordinator)
                let bulk = ByteBuffer(repeating: 1, count: 8 << 20)
                try client.send(
                    Frame(kind: .call, payload: WirePayload(bulk: bulk)), to: lead, lane: .bulk)
                client.disconnect(lead)
                await atClient.waitForLoss(of: lead)
                await atServer.waitForLoss(of: anna)
                #expect(throws: ClusterError.self) {
                    try client.send(Frame(kind: .call), to: lead, lane: .control)
                }
                #expect(try await client.connect(to: server.address, role: .coordinator) == lead)
                // Who was found there before is not taken for connected.
                try client.send(Frame(kind: .call, callID: 9), to: lead, lane: .control)
            }
        }
    }

    @Test func manyNodesAtOnceAllGetBothLanes() async throws {
        let cluster = try TCPTestCluster()
        try await cluster.withNode(.coordinator, "lead") { server, atServer in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<12 {
                    group.addTask {
                        try await cluster.withNode(.worker, "w\(number)", listens: false) {
                            node, _ in
                            _ = try await node.connect(to: server.address, role: .coordinator)
                            let frame = Frame(kind: .call, callID: UInt64(number))
                            try node.send(
                                frame, to: NodeID(role: .coordinator, name: "lead"), lane: .bulk)
                            await atServer.waitForFrames(12)
                        }
                    }
                }
                try await group.waitForAll()
            }
            #expect(atServer.events.count(where: \.isConnection) == 12)
            #expect(Set(atServer.frames.map(\.callID)) == Set(0..<12))
        }
    }

    @Test func callersAtTheSameTimeShareOneConnection() async throws {
        let cluster = try TCPTestCluster()
        try await cluster.withNode(.coordinator, "lead") { server, atServer in
            try await cluster.withNode(.worker, "anna", listens: false) { client, atClient in
                var made: [[Int]] = []
                for _ in 0..<2 {
                    try await withThrowingTaskGroup(of: NodeID.self) { group in
                        for _ in 0..<16 {
                            group.addTask {
                                try await client.connect(to: server.address, role: .coordinator)
                            }
                        }
                        for try await peer in group { #expect(peer == lead) }
                    }
                    made.append([client.connectionsMade, server.connectionsMade])
                }
                #expect(atClient.events.count(where: \.isConnection) == 1)
                #expect(atServer.events.count(where: \.isConnection) == 1)
                // Whoever is connected already is found without another dial.
                #expect(made[0] == made[1])
                await #expect(throws: ClusterError.self) {
                    try await client.connect(to: server.address, role: .shard)
                }
            }
        }
    }

    @Test func whatCannotBeReachedIsSaid() async throws {
        let cluster = try TCPTestCluster()
        // Nobody listens there, and no system hands a port below 1024 out by itself.
        let gone = Address(host: "127.0.0.1", port: 1)
        try await cluster.withNode(.worker, "anna", listens: false) { client, atClient in
            let error = await #expect(throws: ClusterError.self) {
                try await client.connect(to: gone, role: .shard)
            }
            #expect(error?.code == .unreachable)
            #expect(error?.message.contains("\(gone)") == true)
            let unknown = #expect(throws: ClusterError.self) {
                try client.send(Frame(kind: .call), to: lead, lane: .control)
            }
            #expect(unknown?.code == .connectionLost)
            #expect(atClient.events.isEmpty)
        }
    }

    @Test func aPortInUseIsSaid() async throws {
        let cluster = try TCPTestCluster()
        try await cluster.withNode(.shard, "s1") { server, _ in
            let identity = try Identity.load(cluster.identityPath(.shard, "s2"), at: Date())
            let error = await #expect(throws: ClusterError.self) {
                _ = try await TCPTransport.bind(
                    identity: identity, listen: server.address, incarnation: 1, logger: .silent)
            }
            #expect(error?.code == .address)
            #expect(error?.message.contains("\(server.address)") == true)
        }
    }

    @Test func anotherRoleThanExpectedIsRefused() async throws {
        let cluster = try TCPTestCluster()
        try await cluster.withNode(.shard, "s1") { server, atServer in
            try await cluster.withNode(.worker, "anna") { client, atClient in
                let error = await #expect(throws: ClusterError.self) {
                    try await client.connect(to: server.address, role: .coordinator)
                }
                #expect(error?.code == .refused)
                #expect(error?.message == "\(server.address) is shard/s1, not a coordinator")
                #expect(atClient.events.isEmpty && atServer.events.isEmpty)
            }
        }
    }

    @Test func tooMuchInTheQueueIsRefused() async throws {
        let cluster = try TCPTestCluster()
        var configuration = TCPConfiguration()
        configuration.queuedBytesMax = 1 << 20
        configuration.bulkLimits.bulkBytesMax = 96 << 20
        try await cluster.withNode(.coordinator, "lead") { server, _ in
            try await cluster.withNode(.worker, "anna", configuration: configuration) { client, _ in
                _ = try await client.connect(to: server.address, role: .coordinator)
                func send(_ bytes: Int) throws {
                    let bulk = ByteBuffer(repeating: 0, count: bytes)
                    try client.send(
                        Frame(kind: .call, payload: WirePayload(bulk: bulk)), to: lead, lane: .bulk)
                }
                try send(64 << 20)
                let full = #expect(throws: ClusterError.self) {
                    for _ in 0..<100 { try send(1 << 20) }
                }
                #expect(full?.code == .overloaded)
                let large = #expect(throws: ClusterError.self) { try send((96 << 20) + 1) }
                #expect(large?.code == .overloaded)
            }
        }
    }
}
