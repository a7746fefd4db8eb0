internal import NIOCore

/// The fixed part of a frame as it stands on the wire; see ``Frame`` for the drawing.
struct FrameHeader: Equatable {
    static let byteCount = 40
    /// "MRTL", read as a little-endian integer.
    static let magic: UInt32 = 0x4C54_524D
    /// The version of frames that this build writes and reads.
    static let version: UInt16 = 1
    /// Bytes that the header checksum covers.
    private static let checkedBytes = 36

    var kind: Frame.Kind
    var callID: UInt64
    var method: UInt16
    /// 0 means none.
    var deadlineMilliseconds: UInt32
    var messageBytes: UInt32
    var bulkBytes: UInt32
    var bodyChecksum: UInt32

    /// Writes 40 bytes.
    func write(into buffer: inout ByteBuffer) {
        let start = buffer.writerIndex
        buffer.writeMultipleIntegers(
            FrameHeader.magic, FrameHeader.version, kind.rawValue, UInt8(0), callID,
            endianness: .little)
        buffer.writeMultipleIntegers(
            method, UInt16(0), deadlineMilliseconds, messageBytes, bulkBytes, bodyChecksum,
            endianness: .little)
        var checksum = Checksum()
        if let checked = buffer.getSlice(at: start, length: FrameHeader.checkedBytes) {
            checksum.update(checked)
        }
        buffer.writeInteger(checksum.value, endianness: .little)
    }

    /// Reads 40 bytes, which must be there, and checks each field but the lengths' limits.
    init(reading buffer: inout ByteBuffer) throws(WireError) {
        var checksum = Checksum()
        if let checked = buffer.getSlice(
            at: buffer.readerIndex, length: FrameHeader.checkedBytes)
        {
            checksum.update(checked)
        }
        guard
            let (magic, version, kind, flags, callID) = buffer.readMultipleIntegers(
                endianness: .little, as: (UInt32, UInt16, UInt8, UInt8, UInt64).self),
            let (method, reserved, deadline, messageBytes, bulkBytes, body, header) =
                buffer.readMultipleIntegers(
                    endianness: .little,
                    as: (UInt16, UInt16, UInt32, UInt32, UInt32, UInt32, UInt32).self)
        else { preconditionFailure("a header is read only when all its bytes are there") }

        guard magic == FrameHeader.magic else {
            throw WireError(.notAFrame, "expected a frame, found \(hexadecimal(magic))")
        }
        // Before the checksum, whose place another version may have moved.
        guard version == FrameHeader.version else {
            throw WireError(
                .version, "expected frames of version \(FrameHeader.version), found \(version)")
        }
        guard header == checksum.value else {
            throw WireError(
                .checksum,
                "the header's checksum is \(hexadecimal(checksum.value)), "
                    + "it claims \(hexadecimal(header))")
        }
        guard let kind = Frame.Kind(rawValue: kind) else {
            throw WireError(.malformed, "no frame is of kind \(kind)")
        }
        guard flags == 0, reserved == 0 else {
            throw WireError(.malformed, "reserved fields must be 0, found \(flags), \(reserved)")
        }
        guard messageBytes == 0 || kind.carriesMessage else {
            throw WireError(.malformed, "a \(kind) frame carries no message")
        }
        guard bulkBytes == 0 || kind.carriesBulk else {
            throw WireError(.malformed, "a \(kind) frame carries no bulk")
        }
        self.kind = kind
        self.callID = callID
        self.method = method
        deadlineMilliseconds = deadline
        self.messageBytes = messageBytes
        self.bulkBytes = bulkBytes
        bodyChecksum = body
    }
}

extension FrameHeader {
    init(_ frame: Frame, bodyChecksum: UInt32) {
        kind = frame.kind
        callID = frame.callID
        method = frame.method
        deadlineMilliseconds = FrameHeader.milliseconds(frame.deadline)
        // A ByteBuffer holds less than 4 GiB.
        messageBytes = UInt32(frame.payload.message.readableBytes)
        bulkBytes = UInt32(frame.payload.bulk.readableBytes)
        self.bodyChecksum = bodyChecksum
    }

    var deadline: Duration? {
        deadlineMilliseconds == 0 ? nil : .milliseconds(deadlineMilliseconds)
    }

    /// Rounds up, so that a short deadline does not become none, and stops at 49 days.
    private static func milliseconds(_ deadline: Duration?) -> UInt32 {
        guard let deadline else { return 0 }
        let (seconds, attoseconds) = deadline.components
        let whole = min(max(seconds, 0), Int64(UInt32.max)) * 1000
        let rest = (max(attoseconds, 0) + 999_999_999_999_999) / 1_000_000_000_000_000
        return UInt32(clamping: max(1, whole + rest))
    }
}

/// A word as it stands in hex dumps.
private func hexadecimal(_ word: UInt32) -> String {
    let digits = String(word, radix: 16)
    return "0x" + String(repeating: "0", count: 8 - digits.count) + digits
}
