import LocalSGD
import NIOCore
import Tensors
import Testing

@testable import Codec

/// The payloads that `docs/wire.md` shows, byte for byte.
@Suite struct GoldenPayloadTests {
    private static let numbers: [Float] = [0.5, -0.25, 0.125, -1, 0.0625, 0, 0.75, -0.375]

    private static let payloads: [(codec: String, hex: String, says: [Float])] = [
        (
            "bf16/plain",
            "01 01 00 00 08 00 00 00 10 00 00 00 "
                + "3f be 3e bf 3d 00 3f be 00 80 00 80 80 00 40 c0", numbers
        ),
        (
            "int8/plain",
            "01 02 00 00 08 00 00 00 0a 00 00 00 02 3c 3f e0 10 82 08 00 5f d1",
            [63, -32, 16, -126, 8, 0, 95, -47].map { 0x1.04p-7 * $0 }
        ),
        (
            "int4/plain", "01 03 00 00 08 00 00 00 06 00 00 00 13 3e 03 0e 51 d9",
            [3, -2, 1, -7, 0, 0, 5, -3].map { 0x1.26p-3 * $0 }
        ),
        (
            "fp4/plain", "01 04 00 00 08 00 00 00 05 00 00 00 7f 36 0d 74 ef",
            [0.5, -0.25, 0.125, -1, 0.0625, 0, 1, -0.5]
        ),
        (
            "topk/1024", "01 05 00 04 08 00 00 00 08 00 00 00 bf c2 5c 8c 60 00 00 00",
            [0, 0, 0, -1, 0, 0, 0.75, 0]
        ),
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
