import Cluster
import Foundation
import Logging
import NIOCore
import Synchronization
import Testing
import Wire

/// An authority in a folder of its own, and the transports of its nodes.
final class TCPTestCluster: Sendable {
    let folder: String
    let authority: CertificateAuthority

    init() throws {
        folder =
            FileManager.default.temporaryDirectory
            .appendingPathComponent("martlet-\(UUID().uuidString)").path
        authority = try CertificateAuthority.create(in: folder, at: Date())
    }

    deinit { try? FileManager.default.removeItem(atPath: folder) }

    func identityPath(
        _ role: Role, _ name: String, at now: Date = Date(),
        validFor validity: Duration = CertificateAuthority.validity
    ) throws -> String {
        let path = "\(folder)/\(name).identity.pem"
        if FileManager.default.fileExists(atPath: path) { return path }
        return try authority.issue(role, name, at: now, validFor: validity)
    }

    /// A bound transport that runs within `body`, with what it delivered.
    func withNode<Result>(
        _ role: Role, _ name: String, incarnation: UInt64 = 1, listens: Bool = true,
        configuration: TCPConfiguration = TCPConfiguration(),
        _ body: (TCPTransport, EventRecorder) async throws -> Result
    ) async throws -> Result {
        let identity = try Identity.load(identityPath(role, name), at: Date())
        let transport = try await TCPTransport.bind(
            identity: identity, listen: listens ? Address(host: "127.0.0.1", port: 0) : nil,
            incarnation: incarnation, logger: .silent, configuration: configuration)
        let recorder = EventRecorder()
        return try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await transport.run { recorder.record($0) } }
            do {
                let result = try await body(transport, recorder)
                group.cancelAll()
                try await group.waitForAll()
                return result
            } catch {
                group.cancelAll()
                throw error
            }
        }
    }
}

extension Logger {
    static let silent = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
}

extension TCPTransport {
    /// Where it listens; a test that asks has told it to.
    var address: Address { boundAddress ?? Address(host: "none", port: 0) }
}

/// What a transport delivered, in order.
final class EventRecorder: Sendable {
    private struct Waiter {
        let isMet: @Sendable ([TransportEvent]) -> Bool
        let continuation: CheckedContinuation<Void, Never>
    }

    private struct State {
        var events: [TransportEvent] = []
        var waiters: [Waiter] = []
    }

    private let state = Mutex(State())

    func record(_ event: TransportEvent) {
        let met = state.withLock { state -> [Waiter] in
            state.events.append(event)
            let events = state.events
            let met = state.waiters.filter { $0.isMet(events) }
            state.waiters.removeAll { $0.isMet(events) }
            return met
        }
        for waiter in met { waiter.continuation.resume() }
    }

    var events: [TransportEvent] { state.withLock { $0.events } }

    /// Waits until `isMet`; the test's time limit ends it if that never happens.
    func wait(until isMet: @escaping @Sendable ([TransportEvent]) -> Bool) async {
        await withCheckedContinuation { continuation in
            let isMetNow = state.withLock { state in
                if isMet(state.events) { return true }
                state.waiters.append(Waiter(isMet: isMet, continuation: continuation))
                return false
            }
            if isMetNow { continuation.resume() }
        }
    }

    func waitForConnection(of peer: NodeID, count: Int = 1) async {
        await wait { events in events.filter { $0.isConnected(peer) }.count >= count }
    }

    func waitForLoss(of peer: NodeID) async {
        await wait { events in events.contains { $0.isLost(peer) } }
    }

    func waitForFrames(_ count: Int) async {
        await wait { events in events.count { $0.frame != nil } >= count }
    }

    var frames: [Frame] { events.compactMap(\.frame) }
}

extension TransportEvent {
    var frame: Frame? {
        if case .frame(let frame, _) = self { frame } else { nil }
    }

    func isConnected(_ peer: NodeID) -> Bool {
        if case .connected(peer, _) = self { true } else { false }
    }

    func isLost(_ peer: NodeID) -> Bool {
        if case .lost(peer, _) = self { true } else { false }
    }

    var isConnection: Bool {
        if case .connected = self { true } else { false }
    }
}
