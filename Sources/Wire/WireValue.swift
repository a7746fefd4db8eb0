package import NIOCore

/// What one frame carries: a small structured message and, for calls and replies, raw bulk.
package struct WirePayload: Sendable, Equatable {
    /// A protobuf message; empty where there is nothing to say.
    package var message: ByteBuffer
    /// Tensors or tokens as they lie in memory, little-endian; empty for most.
    package var bulk: ByteBuffer

    package init(message: ByteBuffer = ByteBuffer(), bulk: ByteBuffer = ByteBuffer()) {
        self.message = message
        self.bulk = bulk
    }

    /// Of both.
    package var byteCount: Int { message.readableBytes + bulk.readableBytes }
}

/// A value that can be the argument or the result of a remote call.
///
/// `init(decoding:)` gets bytes from a peer and must check every field before it returns.
package protocol WireValue: Sendable {
    func encode() -> WirePayload
    init(decoding payload: WirePayload) throws(WireError)
}

/// The value of a call that returns nothing.
package struct Nothing: WireValue, Equatable {
    package init() {}

    package func encode() -> WirePayload { WirePayload() }

    package init(decoding payload: WirePayload) throws(WireError) {
        guard payload.message.readableBytes == 0, payload.bulk.readableBytes == 0 else {
            throw WireError(
                .malformed,
                "expected an empty payload, found \(payload.message.readableBytes) message bytes "
                    + "and \(payload.bulk.readableBytes) bulk bytes")
        }
    }
}
