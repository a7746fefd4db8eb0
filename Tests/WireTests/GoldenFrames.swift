import NIOCore
import Testing
import Wire

/// One frame of each kind beside its bytes, which were written down by another implementation.
struct GoldenFrame: Sendable, CustomTestStringConvertible {
    let frame: Frame
    let bytes: ByteBuffer

    var testDescription: String { "\(frame.kind)" }

    init(_ frame: Frame, _ hexadecimal: String) {
        self.frame = frame
        bytes = ByteBuffer(hexadecimal: hexadecimal)
    }

    static let all = [
        GoldenFrame(
            Frame(
                kind: .hello,
                payload: Hello(
                    cluster: "7f3a", role: "worker", name: "anna", incarnation: 300, lane: .bulk
                ).encode()),
            """
            4d52544c 01000100 00000000 00000000 00000000 00000000 1b000000 00000000
            f98c30a2 cdd14ed4 08011204 37663361 1a06776f 726b6572 2204616e 6e6128ac 023002
            """),
        GoldenFrame(
            Frame(kind: .welcome, payload: Welcome(incarnation: 9).encode()),
            """
            4d52544c 01000200 00000000 00000000 00000000 00000000 02000000 00000000
            a66fc714 9542540c 0809
            """),
        GoldenFrame(
            Frame(kind: .refusal, payload: Refusal(reason: "wrong cluster").encode()),
            """
            4d52544c 01000300 00000000 00000000 00000000 00000000 0f000000 00000000
            9ce7d1b7 ab1a3e40 0a0d7772 6f6e6720 636c7573 746572
            """),
        GoldenFrame(
            Frame(
                kind: .call, callID: 0x0102_0304_0506_0708, method: 7,
                deadline: .milliseconds(2500),
                payload: WirePayload(
                    message: ByteBuffer(bytes: [8, 5]), bulk: ByteBuffer(bytes: 1...8))),
            """
            4d52544c 01000400 08070605 04030201 07000000 c4090000 02000000 08000000
            15a25745 445e4ec4 08050102 03040506 0708
            """),
        GoldenFrame(
            Frame(
                kind: .reply, callID: 0x0102_0304_0506_0708, method: 7,
                payload: WirePayload(bulk: ByteBuffer(bytes: [0, 0, 0x80, 0x3F]))),
            """
            4d52544c 01000500 08070605 04030201 07000000 00000000 00000000 04000000
            abc454dd e968b62f 0000803f
            """),
        GoldenFrame(
            Frame(
                kind: .failure, callID: 3, method: 7,
                payload: Failure(code: "forbidden", text: "no").encode()),
            """
            4d52544c 01000600 03000000 00000000 07000000 00000000 0f000000 00000000
            70a28be7 e30a6810 0a09666f 72626964 64656e12 026e6f
            """),
        GoldenFrame(
            Frame(kind: .ping, callID: 1 << 63),
            """
            4d52544c 01000800 00000000 00000080 00000000 00000000 00000000 00000000
            00000000 66eb71f3
            """),
        GoldenFrame(
            Frame(kind: .pong, callID: .max),
            """
            4d52544c 01000900 ffffffff ffffffff 00000000 00000000 00000000 00000000
            00000000 4e41af0c
            """),
        GoldenFrame(
            Frame(kind: .bye, payload: Refusal(reason: "stopping").encode()),
            """
            4d52544c 01000a00 00000000 00000000 00000000 00000000 0a000000 00000000
            5389a899 40974068 0a087374 6f707069 6e67
            """),
    ]
}

extension ByteBuffer {
    init(hexadecimal: String) {
        let digits = hexadecimal.compactMap(\.hexDigitValue)
        self.init(
            bytes: stride(from: 0, to: digits.count, by: 2).map {
                UInt8(digits[$0] << 4 | digits[$0 + 1])
            })
    }

    /// The pieces, one behind the other.
    init(joining pieces: [ByteBuffer]) {
        self.init()
        for piece in pieces { writeImmutableBuffer(piece) }
    }
}

extension FrameDecoder {
    /// All frames in `bytes`, which are fed in pieces of at most `pieceBytes`.
    static func frames(
        in bytes: ByteBuffer, pieceBytes: Int = .max, limits: FrameLimits = FrameLimits(),
        pool: BulkPool? = nil
    ) throws(WireError) -> [Frame] {
        var decoder = FrameDecoder(limits: limits, pool: pool)
        var rest = bytes
        var frames: [Frame] = []
        while let piece = rest.readSlice(length: min(pieceBytes, rest.readableBytes)),
            piece.readableBytes > 0
        {
            decoder.append(piece)
            while let frame = try decoder.next() { frames.append(frame) }
        }
        return frames
    }
}
