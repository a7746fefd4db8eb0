internal import CKernels
package import NIOCore

/// A running CRC-32C (Castagnoli), as iSCSI, ext4 and most storage formats use it: it detects every
/// burst of up to 32 bits, and processors have an instruction for it.
package struct Checksum: Sendable {
    /// The checksum of everything so far; 0 at first.
    package private(set) var value: UInt32 = 0

    package init() {}

    /// Takes in the readable bytes.
    package mutating func update(_ bytes: ByteBuffer) {
        value = unsafe bytes.withUnsafeReadableBytes { bytes in
            unsafe martlet_crc32c(value, bytes.baseAddress, bytes.count)
        }
    }

    /// Takes in bytes that are not in a buffer.
    package mutating func update(_ bytes: RawSpan) {
        value = unsafe bytes.withUnsafeBytes { bytes in
            unsafe martlet_crc32c(value, bytes.baseAddress, bytes.count)
        }
    }

    /// The checksum of the readable bytes.
    package static func of(_ bytes: ByteBuffer) -> UInt32 {
        var checksum = Checksum()
        checksum.update(bytes)
        return checksum.value
    }
}
