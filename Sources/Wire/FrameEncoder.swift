package import NIOCore

/// Turns frames into bytes.
package enum FrameEncoder {
    /// The bytes of `frame` in pieces to be sent one behind the other: header and message in one
    /// buffer of its own, then bulk, if there is any, as the slice it was given as, not copied.
    ///
    /// What a peer would refuse is a programmer's error here; see ``FrameLimits/check(_:)`` for
    /// lengths that depend on input.
    package static func encode(_ frame: Frame) -> [ByteBuffer] {
        let message = frame.payload.message
        let bulk = frame.payload.bulk
        precondition(
            message.readableBytes == 0 || frame.kind.carriesMessage,
            "a \(frame.kind) frame carries no message")
        precondition(
            bulk.readableBytes == 0 || frame.kind.carriesBulk,
            "a \(frame.kind) frame carries no bulk")

        var checksum = Checksum()
        checksum.update(message)
        checksum.update(bulk)
        var head = ByteBuffer()
        head.reserveCapacity(FrameHeader.byteCount + message.readableBytes)
        FrameHeader(frame, bodyChecksum: checksum.value).write(into: &head)
        head.writeImmutableBuffer(message)
        return bulk.readableBytes == 0 ? [head] : [head, bulk]
    }
}
