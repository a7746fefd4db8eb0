internal import NIOCore

/// What each of the latest versions of a module has changed for workers, encoded, so that whoever
/// has an earlier one is told only that.
struct RecentDeltas: Sendable {
    /// Versions that a worker may be behind, at most.
    static let versionsMax = 64

    /// Ascending; where versions are missing, nothing leads across.
    private var deltas: [(version: UInt64, payload: ByteBuffer)] = []
    private var byteCount = 0

    /// Adds what leads from the version before to `version`; together they never have more than
    /// `byteCountMax` bytes, which is what the parameters themselves have.
    mutating func append(_ payload: ByteBuffer, version: UInt64, byteCountMax: Int) {
        deltas.append((version, payload))
        byteCount += payload.readableBytes
        while let first = deltas.first,
            deltas.count > RecentDeltas.versionsMax || byteCount > byteCountMax
        {
            byteCount -= first.payload.readableBytes
            deltas.removeFirst()
        }
    }

    /// Forgets all: a version was handed out that no delta leads to.
    mutating func clear() {
        deltas = []
        byteCount = 0
    }

    /// What leads from the version `held` to `version`; `nil` if part of it is not here.
    func payloads(from held: UInt64, to version: UInt64) -> [ByteBuffer]? {
        guard held <= version else { return nil }
        let wanted = deltas.filter { $0.version > held && $0.version <= version }
        return UInt64(wanted.count) == version - held ? wanted.map(\.payload) : nil
    }
}
