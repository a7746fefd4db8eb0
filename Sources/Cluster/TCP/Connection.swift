internal import NIOCore
internal import Synchronization
internal import Wire

/// One lane to one peer, as other threads see it: a place to leave frames for the event loop.
final class Connection: Sendable {
    /// What other threads ask of the ``LaneHandler``.
    enum Command: Sendable {
        /// Frames wait.
        case flush
        /// The table lets the connection in.
        case accept
        case refuse(reason: String)
        case surplus
        /// Both lanes are there: frames of this one may be delivered.
        case open(PeerLink)
        case close(reason: String)
    }

    private struct Outbound {
        var queue = OutboundQueue()
        var isFlushScheduled = false
        /// After this nothing is queued any more.
        var isEnding = false
    }

    let id: UInt64
    let channel: any Channel
    private let configuration: TCPConfiguration
    private let outbound = Mutex(Outbound())
    private let roundTrips = Mutex(RoundTrips())

    init(id: UInt64, channel: any Channel, configuration: TCPConfiguration) {
        self.id = id
        self.channel = channel
        self.configuration = configuration
    }

    /// Queues `frame` for sending.
    func send(_ frame: Frame, lane: Lane) throws(ClusterError) {
        do throws(WireError) {
            try configuration.limits(lane).check(frame)
        } catch {
            throw ClusterError(.overloaded, "the \(lane) lane does not take it: \(error)")
        }
        let pieces = FrameEncoder.encode(frame)
        let outcome = outbound.withLock { outbound -> Enqueued in
            if outbound.isEnding { return .ended }
            let queue = outbound.queue
            let fits =
                queue.byteCount + frame.byteCount <= configuration.queuedBytesMax
                && queue.frameCount < configuration.queuedFramesMax
            guard fits || queue.isEmpty else { return .full(bytes: queue.byteCount) }
            outbound.queue.append(pieces)
            defer { outbound.isFlushScheduled = true }
            return outbound.isFlushScheduled ? .queued : .first
        }
        switch outcome {
        case .queued: break
        case .first:
            // Never at once: the sender may be inside of a delivery, and a write that fails leads
            // to the loss of the peer, which waits for deliveries to end.
            channel.eventLoop.execute { self.command(.flush) }
        case .ended: throw ClusterError(.connectionLost, "the connection is being closed")
        case .full(let bytes):
            throw ClusterError(.overloaded, "\(bytes) bytes wait on the \(lane) lane already")
        }
    }

    private enum Enqueued {
        case queued
        case first
        case ended
        case full(bytes: Int)
    }

    func command(_ command: Command) { channel.triggerUserOutboundEvent(command, promise: nil) }

    // MARK: For the event loop

    /// Queues an answer to a ping; false if there are too many.
    func sendUrgent(_ frame: Frame) -> Bool {
        outbound.withLock { $0.queue.insertUrgent(FrameEncoder.encode(frame)) }
    }

    /// Queues the last frame.
    func end(with frame: Frame) {
        outbound.withLock { outbound in
            if !outbound.isEnding { outbound.queue.append(FrameEncoder.encode(frame)) }
            outbound.isEnding = true
        }
    }

    /// The next pieces to write, and whether they are the last of all.
    func nextChunk() -> (pieces: [ByteBuffer], isLast: Bool) {
        outbound.withLock { outbound in
            let pieces = outbound.queue.nextChunk()
            if pieces.isEmpty { outbound.isFlushScheduled = false }
            return (pieces, outbound.isEnding && outbound.queue.isEmpty)
        }
    }

    /// Drops what waits: the channel is closed.
    func abandon() {
        outbound.withLock { outbound in
            outbound.queue.removeAll()
            outbound.isEnding = true
        }
    }

    // MARK: Round trips

    func record(roundTrip: Duration) { roundTrips.withLock { $0.add(roundTrip) } }

    var measuredRoundTrips: RoundTrips { roundTrips.withLock { $0 } }
}

/// How long pings took to be answered.
package struct RoundTrips: Sendable {
    package private(set) var count = 0
    package private(set) var latest = Duration.zero
    package private(set) var longest = Duration.zero

    mutating func add(_ duration: Duration) {
        count += 1
        latest = duration
        longest = max(longest, duration)
    }
}

/// Both lanes to a connected peer.
///
/// Delivers its frames until it is cut, and none after.
final class PeerLink: Sendable {
    let peer: NodeID
    private let lanes: [Lane: Connection]
    private let deliver = Mutex<(@Sendable (TransportEvent) -> Void)?>(nil)

    init(peer: NodeID, lanes: [Lane: Connection]) {
        precondition(lanes.count == Lane.allCases.count, "a link has all lanes")
        self.peer = peer
        self.lanes = lanes
    }

    subscript(lane: Lane) -> Connection {
        guard let connection = lanes[lane] else { preconditionFailure("a link has all lanes") }
        return connection
    }

    func open(_ deliver: @escaping @Sendable (TransportEvent) -> Void) {
        self.deliver.withLock { $0 = deliver }
    }

    func receive(_ frame: Frame) { deliver.withLock { $0?(.frame(frame, from: peer)) } }

    /// When this returns, no frame is being delivered and none will be.
    func cut() { deliver.withLock { $0 = nil } }
}
