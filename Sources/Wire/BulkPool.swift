internal import NIOCore
internal import Synchronization

/// Keeps the memory of large received bulk for the next one.
///
/// The system takes a freed large buffer back and hands out untouched pages for the next; the page
/// faults of a fresh 64 MiB cost more than its decryption. The pool holds on to each buffer that it
/// lent, and gives it out again as soon as nobody else does.
package final class BulkPool: Sendable {
    /// Smaller bulk is not worth keeping: 256 KiB.
    package static let pooledBytesMin = 256 << 10
    /// Memory held, in use or not, unless configured: 256 MiB.
    package static let heldBytesMax = 256 << 20

    private let heldBytesMax: Int
    /// Oldest first.
    private let buffers = Mutex<[ByteBuffer]>([])

    package init(heldBytesMax: Int = BulkPool.heldBytesMax) {
        self.heldBytesMax = heldBytesMax
    }

    /// Memory that the pool holds, in bytes.
    package var heldBytes: Int { buffers.withLock { BulkPool.bytes($0) } }

    /// An empty buffer that nobody else holds, with room for `count` bytes, if there is one.
    func take(bytes count: Int) -> ByteBuffer? {
        guard count >= BulkPool.pooledBytesMin else { return nil }
        return buffers.withLock { buffers in
            var best: (index: Int, capacity: Int)?
            for index in buffers.indices {
                let free = buffers[index].modifyIfUniquelyOwned { buffer in
                    buffer.clear()
                    return buffer.capacity
                }
                guard let free, free >= count, free < best?.capacity ?? .max else { continue }
                best = (index, free)
            }
            return best.map { buffers.remove(at: $0.index) }
        }
    }

    /// Remembers a buffer that is about to be given away.
    func lend(_ buffer: ByteBuffer) {
        guard buffer.capacity >= BulkPool.pooledBytesMin else { return }
        buffers.withLock { buffers in
            buffers.append(buffer)
            while BulkPool.bytes(buffers) > heldBytesMax { buffers.removeFirst() }
        }
    }

    private static func bytes(_ buffers: [ByteBuffer]) -> Int {
        buffers.reduce(0) { $0 + $1.capacity }
    }
}
