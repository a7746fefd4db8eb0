/// The line by which a node is connected to a simulated network.
package struct SimulatedLink: Sendable, Equatable {
    /// Bytes a second, each way; nothing is no limit.
    package var bytesPerSecond: Double?
    /// What this end adds to the time that a frame is under way.
    package var latency: Duration

    package init(bytesPerSecond: Double? = nil, latency: Duration = .zero) {
        self.bytesPerSecond = bytesPerSecond
        self.latency = latency
    }

    /// A line of so many megabits a second.
    package static func megabits(_ rate: Double, latency: Duration = .zero) -> SimulatedLink {
        SimulatedLink(bytesPerSecond: rate * 1e6 / 8, latency: latency)
    }

    /// How long `bytes` take to go by.
    package func time(for bytes: Int) -> Duration {
        guard let bytesPerSecond else { return .zero }
        return .seconds(Double(bytes) / bytesPerSecond)
    }
}

/// One node's end of its line: until when it is taken, and what has gone by.
///
/// Frames of the bulk lane queue at both ends, first come, first served; those of the control lane
/// go ahead of them, as a small frame of another connection would. A frame comes in while it still
/// goes out, so the narrower line decides.
package struct SimulatedPort: Sendable {
    package let link: SimulatedLink
    package private(set) var bytesUp = 0
    package private(set) var bytesDown = 0
    private var upFreeAt: Duration = .zero
    private var downFreeAt: Duration = .zero

    package init(_ link: SimulatedLink) { self.link = link }

    /// Counts a frame that leaves `sender` at `now`, and says when its last byte is at `receiver`.
    package static func carry(
        _ bytes: Int, from sender: inout SimulatedPort, to receiver: inout SimulatedPort,
        at now: Duration, inQueue isBulk: Bool
    ) -> Duration {
        sender.bytesUp += bytes
        receiver.bytesDown += bytes
        let (up, down) = (sender.link.time(for: bytes), receiver.link.time(for: bytes))
        let latency = sender.link.latency + receiver.link.latency
        guard isBulk else { return now + max(up, down) + latency }
        let begin = max(now, sender.upFreeAt)
        sender.upFreeAt = begin + up
        // Times of the receiver are by its own end of the line, where all comes later.
        let entry = max(begin + latency, receiver.downFreeAt)
        receiver.downFreeAt = max(entry + down, sender.upFreeAt + latency)
        return receiver.downFreeAt
    }
}
