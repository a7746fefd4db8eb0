import LocalSGD
import NIOCore
import Tensors
import Testing

@testable import Codec

/// The payloads that `docs/wire.md` shows, byte for byte.
@Suite struct GoldenPayloadTests {
    private static let numbers: [Float] = [0.5, -0.25, 0.125, -1, 0.0625, 0, 0.75, -0.375]

    private static let payloads: [(codec: String, hex: String, says: [Float])] = [
        ("bf16/plain", "?", numbers),
        ("int8/plain", "?", []),
        ("int4/plain", "?", []),
        ("fp4/plain", "?", []),
        ("topk/1024", "?", []),
    ]

    @Test(arguments: payloads)
    func numbersAreTheseBytes(_ name: String, _ hex: String, _ says: [Float]) throws {
        let codec = try #require(Codec(name: name))
        let payload = try codec.encode(.gradient(FloatBuffer(Self.numbers)))
        #expect(Self.hex(payload) == hex)
        #expect(try codec.decode(payload, count: Self.numbers.count).array == says)
    }

    /// A frame that no version of zstd has to have written: 130 bytes, all 0.
    @Test func compressedBytesAreTheseNumbers() throws {
        let bytes: [UInt8] = [
            0x01, 0x02, 0x00, 0x00, 0x80, 0x00, 0x00, 0x00, 0x0a, 0x00, 0x00, 0x00,
            0x28, 0xb5, 0x2f, 0xfd, 0x20, 0x82, 0x13, 0x04, 0x00, 0x00,
        ]
        let said = try Codec.int8.decode(ByteBuffer(bytes: bytes), count: 128)
        #expect(said.array == [Float](repeating: 0, count: 128))
    }

    private static func hex(_ payload: ByteBuffer) -> String {
        payload.bytes.map { byte in
            let digits = String(byte, radix: 16)
            return digits.count == 1 ? "0" + digits : digits
        }.joined(separator: " ")
    }
}
