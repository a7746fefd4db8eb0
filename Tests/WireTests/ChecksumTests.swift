import CKernels
import NIOCore
import Testing
import Wire

@Suite struct ChecksumTests {
    /// RFC 3720, B.4, and the check value of the polynomial's catalogue entry.
    private static let known: [(ByteBuffer, UInt32)] = [
        (ByteBuffer(string: "123456789"), 0xE306_9283),
        (ByteBuffer(repeating: 0, count: 32), 0x8A91_36AA),
        (ByteBuffer(repeating: 0xFF, count: 32), 0x62A8_AB43),
        (ByteBuffer(bytes: 0..<32), 0x46DD_794E),
        (ByteBuffer(bytes: (0..<32).reversed()), 0x113F_DB5C),
        (ByteBuffer(hexadecimal: iSCSIRead), 0xD996_3A56),
        (ByteBuffer(), 0),
    ]

    /// A command of iSCSI, the RFC's last example.
    private static let iSCSIRead = """
        01c00000 00000000 00000000 00000000 14000000 00000400 00000014 00000018
        28000000 00000000 02000000 00000000
        """

    @Test(arguments: known)
    func knownValues(bytes: ByteBuffer, expected: UInt32) {
        #expect(Checksum.of(bytes) == expected)
        #expect(portable(bytes) == expected)
    }

    /// Lengths on both sides of where the fast path changes its step, at every alignment.
    @Test func fastPathEqualsReference() {
        var generator = Xorshift(seed: 1)
        let bytes = ByteBuffer(
            bytes: (0..<20_000).map { _ in UInt8.random(in: 0...255, using: &generator) })
        let lengths = Array(0...70) + [3071, 3072, 3073, 3080, 6143, 6144, 9999, 19_900]
        for length in lengths {
            for start in 0..<8 {
                guard let piece = bytes.getSlice(at: start, length: length) else { continue }
                #expect(Checksum.of(piece) == portable(piece), "\(length) bytes at \(start)")
            }
        }
    }

    @Test func piecesGiveTheSameAsTheWhole() {
        var generator = Xorshift(seed: 2)
        let bytes = ByteBuffer(
            bytes: (0..<9000).map { _ in UInt8.random(in: 0...255, using: &generator) })
        for _ in 0..<200 {
            var rest = bytes
            var checksum = Checksum()
            while rest.readableBytes > 0 {
                let length = min(Int.random(in: 1...5000, using: &generator), rest.readableBytes)
                if let piece = rest.readSlice(length: length) { checksum.update(piece) }
            }
            #expect(checksum.value == Checksum.of(bytes))
        }
    }

    private func portable(_ bytes: ByteBuffer) -> UInt32 {
        let bytes = Array(bytes.readableBytesView)
        return unsafe bytes.withUnsafeBytes {
            unsafe martlet_crc32c_portable(0, $0.baseAddress, $0.count)
        }
    }
}

/// Draws the same numbers from the same seed everywhere.
struct Xorshift: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 | 1 }

    mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state &* 0x2545_F491_4F6C_DD1D
    }
}
