import NIOCore
import Tensors

@testable import Codec

/// Reproducible numbers for tests.
struct Numbers {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    /// In -1 ..< 1.
    mutating func next() -> Float {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Float(Int32(truncatingIfNeeded: state >> 32)) * 0x1p-31
    }

    /// Many small, few large, as updates are.
    mutating func steep(_ count: Int) -> FloatBuffer {
        FloatBuffer(
            (0..<count).map { _ in
                let x = next()
                return 1e-2 * x * x * x
            })
    }
}

extension Codec {
    /// One of each kind.
    static let lossy: [Codec] = [
        .bf16, .int8, .int4, .fp4, .topKUp, .topK(kept: 1), .topK(kept: 300),
        .dense(.int4, isCompressed: false),
    ]

    /// What `payload` says, [n].
    func decode(_ payload: ByteBuffer, count: Int) throws(CodecError) -> FloatBuffer {
        let values = FloatBuffer(count: count)
        try add(payload, to: values)
        return values
    }
}

extension ByteBuffer {
    var bytes: [UInt8] { Array(readableBytesView) }
}

extension FloatBuffer {
    /// Whether both are the same numbers bit for bit, so that -0 and NaN count.
    func isEqual(to other: FloatBuffer) -> Bool {
        array.map(\.bitPattern) == other.array.map(\.bitPattern)
    }
}
