/// Remembers the memory of large buffers that nobody uses any more, for the next of their size.
///
/// The system takes freed large memory back and hands out untouched pages for the next: to touch
/// them first costs many times as much as to clear pages that are there. A shard server, which
/// makes new buffers for every version, spent more time on that than on all of its arithmetic.
struct RegionPool: Sendable {
    /// Memory kept in a process, at most: 256 MiB.
    static let heldBytesMax = 256 << 20

    private let heldBytesMax: Int
    /// Addresses and sizes, oldest first.
    private var regions: [(address: UInt, byteCount: Int)] = []
    private(set) var heldBytes = 0

    init(heldBytesMax: Int = Self.heldBytesMax) { self.heldBytesMax = heldBytesMax }

    /// A region of exactly `byteCount` bytes, if there is one; the newest, which may be cached.
    mutating func take(_ byteCount: Int) -> UInt? {
        guard let index = regions.lastIndex(where: { $0.byteCount == byteCount }) else {
            return nil
        }
        heldBytes -= byteCount
        return regions.remove(at: index).address
    }

    /// Takes a region in, and returns those that must go for it; it is among them if it is too
    /// large.
    mutating func keep(
        _ address: UInt, _ byteCount: Int
    ) -> [(address: UInt, byteCount: Int)] {
        regions.append((address, byteCount))
        heldBytes += byteCount
        var released: [(address: UInt, byteCount: Int)] = []
        while heldBytes > heldBytesMax {
            let oldest = regions.removeFirst()
            heldBytes -= oldest.byteCount
            released.append(oldest)
        }
        return released
    }
}
