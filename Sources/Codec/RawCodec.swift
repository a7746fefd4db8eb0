package import LocalSGD
package import NIOCore
package import Tensors

/// The codec that loses nothing: fp32, little-endian.
///
/// A pseudo-gradient is sent as its `local` end. The shard server holds the other end, the anchor,
/// and takes the difference in fp64, where it is exact; an fp32 difference would not be.
package enum RawCodec {
    package static func encode(_ update: Update) -> ByteBuffer {
        switch update {
        case .gradient(let gradients): bytes(of: [gradients])
        case .pseudoGradient(let difference): bytes(of: [difference.local])
        }
    }

    /// The numbers of `payload`, which must be `count` finite ones.
    package static func decode(
        _ payload: ByteBuffer, count: Int
    ) throws(CodecError) -> FloatBuffer {
        let values = try arrays(1, of: count, from: payload)[0]
        guard values.allFinite else {
            throw CodecError(.notFinite, "the update holds numbers that are not finite")
        }
        return values
    }

    /// Arrays one behind the other.
    package static func bytes(of arrays: [FloatBuffer]) -> ByteBuffer {
        let size = arrays.reduce(0) { $0 + $1.count * MemoryLayout<Float>.stride }
        var bytes = ByteBuffer()
        bytes.reserveCapacity(size)
        for array in arrays {
            array.withBytes { _ = bytes.writeBytes($0) }
        }
        return bytes
    }

    /// `number` arrays of `count` elements each, one behind the other in `bytes`.
    package static func arrays(
        _ number: Int, of count: Int, from bytes: ByteBuffer
    ) throws(CodecError) -> [FloatBuffer] {
        let size = count * MemoryLayout<Float>.stride
        guard bytes.readableBytes == number * size else {
            throw CodecError(
                .wrongLength,
                "\(bytes.readableBytes) bytes instead of \(number) x \(count) fp32 numbers")
        }
        return (0..<number).map { index in
            let array = FloatBuffer(count: count)
            array.copy(
                fromBytes: bytes.readableBytesSpan.extracting(index * size..<(index + 1) * size))
            return array
        }
    }
}
