internal import NIOCore
internal import Wire

/// What waits to be written to one connection, handed out in chunks, frames whole and in order.
struct OutboundQueue {
    /// Bytes written to a socket at once, at most: 256 KiB.
    ///
    /// TLS encrypts them in one go, so this is how long the loop is busy, about 0.1 ms,
    /// before it sees whether the socket takes more.
    static let chunkBytesMax = 256 << 10
    /// Answers to pings that wait, at most; who wants more is not measuring anything.
    static let urgentFramesMax = 64

    private struct Item {
        var pieces: [ByteBuffer]
        let isUrgent: Bool
    }

    private var items = CircularBuffer<Item>()
    /// Whether a part of the first frame is written already.
    private var isMidFrame = false
    private var urgentCount = 0
    private(set) var byteCount = 0

    var frameCount: Int { items.count }
    var isEmpty: Bool { items.isEmpty }

    /// Puts a frame last.
    mutating func append(_ pieces: [ByteBuffer]) {
        items.append(Item(pieces: pieces, isUrgent: false))
        byteCount += OutboundQueue.bytes(of: pieces)
    }

    /// Puts a small frame before all others but the one under way; false if too many are there.
    mutating func insertUrgent(_ pieces: [ByteBuffer]) -> Bool {
        guard urgentCount < OutboundQueue.urgentFramesMax else { return false }
        let item = Item(pieces: pieces, isUrgent: true)
        if isMidFrame {
            let first = items.removeFirst()
            items.prepend(item)
            items.prepend(first)
        } else {
            items.prepend(item)
        }
        urgentCount += 1
        byteCount += OutboundQueue.bytes(of: pieces)
        return true
    }

    /// The next pieces to write, together at most ``chunkBytesMax``, as slices; empty if none wait.
    mutating func nextChunk() -> [ByteBuffer] {
        var chunk: [ByteBuffer] = []
        var room = OutboundQueue.chunkBytesMax
        while room > 0, !items.isEmpty {
            while room > 0, !items[items.startIndex].pieces.isEmpty {
                let piece = takeFirst(atMost: room)
                room -= piece.readableBytes
                byteCount -= piece.readableBytes
                chunk.append(piece)
            }
            isMidFrame = !items[items.startIndex].pieces.isEmpty
            if !isMidFrame, items.removeFirst().isUrgent { urgentCount -= 1 }
        }
        return chunk
    }

    mutating func removeAll() { self = OutboundQueue() }

    private mutating func takeFirst(atMost count: Int) -> ByteBuffer {
        let index = items.startIndex
        var first = items[index].pieces[0]
        let piece = first.readSlice(length: min(count, first.readableBytes)) ?? ByteBuffer()
        if first.readableBytes > 0 {
            items[index].pieces[0] = first
        } else {
            items[index].pieces.removeFirst()
        }
        return piece
    }

    private static func bytes(of pieces: [ByteBuffer]) -> Int {
        pieces.reduce(0) { $0 + $1.readableBytes }
    }
}
