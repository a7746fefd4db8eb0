package import NIOCore

/// Turns bytes, in whatever pieces they come, back into frames.
///
///     header ──40 bytes, checked──> body ──all bytes, checked──> header ...
///        └───────────── anything wrong ─────────┴──> failed, for good
///
/// Body bytes are copied once, into their destination, and summed on the way. Memory is taken as
/// bytes come, never because they are announced.
package struct FrameDecoder: Sendable {
    private enum State {
        case header
        case body(Body)
        case failed(WireError)
    }

    private struct Body {
        let header: FrameHeader
        var message: ByteBuffer
        var bulk: ByteBuffer
        var checksum = Checksum()

        var messageBytesMissing: Int { Int(header.messageBytes) - message.readableBytes }
        var bulkBytesMissing: Int { Int(header.bulkBytes) - bulk.readableBytes }
    }

    /// Memory taken for a body before its bytes are there, at most: 256 KiB.
    package static let reservationBytesMax = 256 << 10

    /// What is accepted from now on; a frame whose header is read already keeps its limits.
    package var limits: FrameLimits
    private var state = State.header
    /// The part of a header that has come, less than 40 bytes between calls.
    private var head = ByteBuffer()
    private var pending = CircularBuffer<ByteBuffer>()
    private let pool: BulkPool?

    /// A decoder that takes the memory for bulk from `pool`, if there is one.
    package init(limits: FrameLimits = FrameLimits(), pool: BulkPool? = nil) {
        self.limits = limits
        self.pool = pool
    }

    /// Whether bytes of an unfinished frame are held: if the connection ends now, it was cut.
    package var isMidFrame: Bool {
        if case .header = state { return head.readableBytes > 0 || !pending.isEmpty }
        return true
    }

    /// Memory taken for the unfinished frame and for bytes not looked at yet.
    package var heldBytes: Int {
        var bytes = head.capacity + pending.reduce(0) { $0 + $1.readableBytes }
        if case .body(let body) = state { bytes += body.message.capacity + body.bulk.capacity }
        return bytes
    }

    /// Takes bytes; ``next()`` gives the frames in them.
    package mutating func append(_ bytes: ByteBuffer) {
        if bytes.readableBytes > 0 { pending.append(bytes) }
    }

    /// The next frame, or nil until more bytes come.
    ///
    /// After an error there is nothing but errors.
    package mutating func next() throws(WireError) -> Frame? {
        do throws(WireError) {
            return try step()
        } catch {
            state = .failed(error)
            pending.removeAll()
            throw error
        }
    }

    private mutating func step() throws(WireError) -> Frame? {
        var body: Body
        switch state {
        case .failed(let error): throw error
        case .body(let unfinished): body = unfinished
        case .header:
            guard let header = try readHeader() else { return nil }
            body = begin(header)
        }
        // The only reference to the buffers must be `body`, or filling them would copy them.
        state = .header
        fill(&body)
        guard body.messageBytesMissing == 0, body.bulkBytesMissing == 0 else {
            state = .body(body)
            return nil
        }
        return try finish(body)
    }

    private mutating func readHeader() throws(WireError) -> FrameHeader? {
        while head.readableBytes < FrameHeader.byteCount {
            guard !pending.isEmpty else { return nil }
            head.writeImmutableBuffer(take(atMost: FrameHeader.byteCount - head.readableBytes))
        }
        let header = try FrameHeader(reading: &head)
        head.clear()
        try limits.check(
            messageBytes: Int(header.messageBytes), bulkBytes: Int(header.bulkBytes))
        return header
    }

    private func begin(_ header: FrameHeader) -> Body {
        var message = ByteBuffer()
        message.reserveCapacity(min(Int(header.messageBytes), FrameDecoder.reservationBytesMax))
        let bulkBytes = Int(header.bulkBytes)
        var bulk = pool?.take(bytes: bulkBytes) ?? ByteBuffer()
        bulk.reserveCapacity(min(bulkBytes, FrameDecoder.reservationBytesMax))
        return Body(header: header, message: message, bulk: bulk)
    }

    private mutating func fill(_ body: inout Body) {
        while !pending.isEmpty, body.messageBytesMissing > 0 {
            let piece = take(atMost: body.messageBytesMissing)
            body.checksum.update(piece)
            body.message.writeImmutableBuffer(piece)
        }
        while !pending.isEmpty, body.bulkBytesMissing > 0 {
            let piece = take(atMost: body.bulkBytesMissing)
            body.checksum.update(piece)
            body.bulk.writeImmutableBuffer(piece)
        }
    }

    private func finish(_ body: Body) throws(WireError) -> Frame {
        guard body.checksum.value == body.header.bodyChecksum else {
            throw WireError(.checksum, "the body does not match its checksum")
        }
        pool?.lend(body.bulk)
        return Frame(
            kind: body.header.kind, callID: body.header.callID, method: body.header.method,
            deadline: body.header.deadline,
            payload: WirePayload(message: body.message, bulk: body.bulk))
    }

    /// The next bytes of the first pending piece, as a slice.
    private mutating func take(atMost count: Int) -> ByteBuffer {
        var first = pending.removeFirst()
        let piece = first.readSlice(length: min(count, first.readableBytes)) ?? ByteBuffer()
        if first.readableBytes > 0 { pending.prepend(first) }
        return piece
    }
}
