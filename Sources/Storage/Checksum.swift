internal import CKernels

/// CRC-32C (Castagnoli) of a sequence of bytes: finds every burst of up to 32 flipped bits.
package struct Checksum: Sendable, Equatable {
    /// The checksum of all bytes so far.
    package private(set) var value: UInt32 = 0

    package init() {}

    /// Appends `bytes` to the sequence.
    package mutating func update(_ bytes: RawSpan) {
        value = unsafe bytes.withUnsafeBytes {
            unsafe martlet_crc32c(value, $0.baseAddress, $0.count)
        }
    }

    /// Appends `bytes` to the sequence.
    package mutating func update(_ bytes: [UInt8]) {
        unsafe update(bytes.span.bytes)
    }

    /// The checksum of `bytes` alone.
    package static func of(_ bytes: [UInt8]) -> UInt32 {
        var checksum = Checksum()
        checksum.update(bytes)
        return checksum.value
    }

    /// Bytes read at a time: what stays in the second-level cache on its way through.
    private static let chunkBytes = 1 << 20

    /// The checksum of the file at `path`, save for its last `tailBytes`.
    ///
    /// Throws `missing`, `unreadable`, or `corrupt` where the file shrinks meanwhile.
    static func of(file path: String, droppingLast tailBytes: Int = 0) throws(StorageError)
        -> Checksum
    {
        let file = try File.open(path)
        let end = try file.byteCount() - tailBytes
        var checksum = Checksum()
        for offset in stride(from: 0, to: end, by: chunkBytes) {
            checksum.update(try file.read(at: offset, count: min(chunkBytes, end - offset)))
        }
        return checksum
    }
}
