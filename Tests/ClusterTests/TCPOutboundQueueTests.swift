import NIOCore
import Testing

@testable import Cluster

@Suite struct TCPOutboundQueueTests {
    private func drain(_ queue: inout OutboundQueue) -> [[ByteBuffer]] {
        var chunks: [[ByteBuffer]] = []
        while true {
            let chunk = queue.nextChunk()
            if chunk.isEmpty { return chunks }
            chunks.append(chunk)
        }
    }

    @Test func chunksAreBoundedAndInOrder() {
        var queue = OutboundQueue()
        let large = ByteBuffer(bytes: (0..<1_000_000).map { UInt8(truncatingIfNeeded: $0 / 7) })
        queue.append([ByteBuffer(string: "head"), large])
        queue.append([ByteBuffer(string: "tail")])
        #expect(queue.byteCount == 1_000_008)
        let chunks = drain(&queue)
        for chunk in chunks {
            #expect(chunk.reduce(0) { $0 + $1.readableBytes } <= OutboundQueue.chunkBytesMax)
        }
        let all = chunks.joined().flatMap { Array($0.readableBytesView) }
        var expected = ByteBuffer(string: "head")
        expected.writeImmutableBuffer(large)
        expected.writeString("tail")
        #expect(all == Array(expected.readableBytesView))
        #expect(queue.byteCount == 0)
        #expect(queue.isEmpty)
    }

    @Test func urgentFramesNeverSplitAnother() {
        var queue = OutboundQueue()
        queue.append([ByteBuffer(repeating: 1, count: 300_000)])
        queue.append([ByteBuffer(repeating: 2, count: 3)])
        var bytes = queue.nextChunk()
        let isTaken = queue.insertUrgent([ByteBuffer(bytes: [9])])
        #expect(isTaken)
        bytes += drain(&queue).joined()
        let all = bytes.flatMap { Array($0.readableBytesView) }
        #expect(all.prefix(300_000).allSatisfy { $0 == 1 })
        #expect(all.dropFirst(300_000) == [9, 2, 2, 2])
        queue.append([ByteBuffer(bytes: [1])])
        _ = queue.insertUrgent([ByteBuffer(bytes: [9])])
        let rest = drain(&queue).joined().flatMap { Array($0.readableBytesView) }
        #expect(rest == [9, 1])
    }

    @Test func urgentFramesAreLimited() {
        var queue = OutboundQueue()
        var taken = 0
        for _ in 0..<2 * OutboundQueue.urgentFramesMax {
            if queue.insertUrgent([ByteBuffer(bytes: [1])]) { taken += 1 }
        }
        #expect(taken == OutboundQueue.urgentFramesMax)
        _ = drain(&queue)
        let isTaken = queue.insertUrgent([ByteBuffer(bytes: [1])])
        #expect(isTaken)
    }
}
