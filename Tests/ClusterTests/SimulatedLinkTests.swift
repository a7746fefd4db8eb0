import Cluster
import Testing

@Suite("Lines of simulated nodes")
struct SimulatedLinkTests {
    /// A million bytes a second, and 3 ms to the net.
    private static let slow = SimulatedLink.megabits(8, latency: .milliseconds(3))
    private static let fast = SimulatedLink.megabits(80, latency: .milliseconds(2))

    @Test("A frame takes its bytes by the narrower line and both latencies, either way")
    func narrowerLine() {
        for (from, to) in [(Self.slow, Self.fast), (Self.fast, Self.slow)] {
            var (sender, receiver) = (SimulatedPort(from), SimulatedPort(to))
            let arrival = SimulatedPort.carry(
                10_000, from: &sender, to: &receiver, at: .seconds(1), inQueue: true)
            #expect(arrival == .milliseconds(1000 + 10 + 5))
            #expect(sender.bytesUp == 10_000 && sender.bytesDown == 0)
            #expect(receiver.bytesUp == 0 && receiver.bytesDown == 10_000)
        }
    }

    @Test("Frames of the bulk lane queue at the sender and at the receiver")
    func queues() {
        var (sender, one, other) = (
            SimulatedPort(Self.slow), SimulatedPort(Self.fast), SimulatedPort(Self.fast)
        )
        let first = SimulatedPort.carry(
            10_000, from: &sender, to: &one, at: .zero, inQueue: true)
        let second = SimulatedPort.carry(
            20_000, from: &sender, to: &other, at: .milliseconds(4), inQueue: true)
        #expect(first == .milliseconds(15))
        #expect(second == .milliseconds(10 + 20 + 5))
        // Two that come in at once over lines of their own share the receiver's.
        var (left, right, hub) = (
            SimulatedPort(Self.fast), SimulatedPort(Self.fast), SimulatedPort(Self.slow)
        )
        let arrivals = [
            SimulatedPort.carry(10_000, from: &left, to: &hub, at: .zero, inQueue: true),
            SimulatedPort.carry(10_000, from: &right, to: &hub, at: .zero, inQueue: true),
        ]
        #expect(arrivals == [.milliseconds(15), .milliseconds(25)])
        #expect(hub.bytesDown == 20_000)
        // What comes later finds the lines free again.
        let later = SimulatedPort.carry(
            10_000, from: &left, to: &hub, at: .seconds(2), inQueue: true)
        #expect(later == .milliseconds(2015))
    }

    @Test("The control lane does not wait for bulk, nor does bulk for it")
    func controlLane() {
        var (sender, receiver) = (SimulatedPort(Self.slow), SimulatedPort(Self.slow))
        _ = SimulatedPort.carry(
            1_000_000, from: &sender, to: &receiver, at: .zero, inQueue: true)
        let heartbeat = SimulatedPort.carry(
            1000, from: &sender, to: &receiver, at: .zero, inQueue: false)
        #expect(heartbeat == .milliseconds(1 + 6))
        let bulk = SimulatedPort.carry(
            1000, from: &sender, to: &receiver, at: .zero, inQueue: true)
        #expect(bulk == .milliseconds(1000 + 1 + 6))
    }

    @Test("Without a limit only latency takes time")
    func unlimited() {
        let link = SimulatedLink(latency: .milliseconds(1))
        var (sender, receiver) = (SimulatedPort(link), SimulatedPort(link))
        for _ in 0..<3 {
            let arrival = SimulatedPort.carry(
                1 << 40, from: &sender, to: &receiver, at: .zero, inQueue: true)
            #expect(arrival == .milliseconds(2))
        }
    }
}
