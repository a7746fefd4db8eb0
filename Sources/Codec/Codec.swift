package import LocalSGD
package import NIOCore
package import Tensors

/// How an update becomes bytes and a share of a sum again.
///
/// All codecs stand behind this one seam: a worker encodes, a shard server checks on arrival and
/// adds up when the round closes.
package enum Codec: String, Sendable, CaseIterable {
    /// Every number as it is, fp32.
    case raw

    /// The bytes of `update`.
    ///
    /// The same update gives the same bytes on every machine.
    package func encode(_ update: Update) -> ByteBuffer {
        switch self {
        case .raw: RawCodec.encode(update)
        }
    }

    /// Checks that `payload` is an update of `count` finite parameters, before it counts as pushed.
    package func check(_ payload: ByteBuffer, count: Int) throws(CodecError) {
        switch self {
        case .raw: _ = try RawCodec.decode(payload, count: count)
        }
    }

    /// Adds `weight` times the update in `payload` to `sum` [n].
    ///
    /// `anchor` [n] holds the parameters of the version that the update starts from.
    package func accumulate(
        _ payload: ByteBuffer, kind: RoundKind, anchor: FloatBuffer, weight: Double,
        into sum: DoubleBuffer
    ) throws(CodecError) {
        switch self {
        case .raw:
            let values = try RawCodec.decode(payload, count: sum.count)
            switch kind {
            case .warmup: sum.accumulate(values, weight: weight)
            case .local: sum.accumulateDifference(anchor: anchor, local: values, weight: weight)
            }
        }
    }
}

/// Bytes that are not what they should be.
package struct CodecError: Error, Sendable, CustomStringConvertible {
    package enum Code: String, Sendable { case wrongLength, notFinite }

    package let code: Code
    package let message: String

    package init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    package var description: String { message }
}
