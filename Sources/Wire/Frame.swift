internal import NIOCore

/// The unit that travels between nodes: a fixed header, a message, raw bulk.
///
/// All integers are little-endian; `docs/wire.md` gives a worked example.
///
///      0               4       6   7   8                              16
///     +---------------+-------+---+---+------------------------------+
///     | magic "MRTL"  |version|knd|flg| call id                      |
///     +-------+-------+-------+---+---+---------------+--------------+
///     |method | 0     | deadline, ms  | message bytes | bulk bytes   |
///     +-------+-------+---------------+---------------+--------------+ 32
///     | body checksum | header chksum |  message ...  |  bulk ...
///     +---------------+---------------+---------------+-------------
///     32              36              40
///
/// Both checksums are CRC-32C: the body's covers message and bulk, the header's the 36 bytes before
/// it. They are apart so that lengths are known to be right before memory is taken for the body.
package struct Frame: Sendable, Equatable {
    package enum Kind: UInt8, Sendable, CaseIterable {
        /// First frame of a connection, from the side that opened it.
        case hello = 1
        /// The answer that lets it in.
        case welcome = 2
        /// The answer that does not; the connection closes behind it.
        case refusal = 3
        case call = 4
        case reply = 5
        /// The answer to a call that did not succeed.
        case failure = 6
        case ping = 8
        case pong = 9
        /// Last frame of a connection that is closed on purpose.
        case bye = 10

        /// Whether frames of this kind may have a message.
        package var carriesMessage: Bool {
            switch self {
            case .hello, .welcome, .refusal, .call, .reply, .failure, .bye: true
            case .ping, .pong: false
            }
        }

        /// Whether frames of this kind may have bulk.
        package var carriesBulk: Bool { self == .call || self == .reply }
    }

    package var kind: Kind
    /// Joins a reply or failure to its call; chosen by the caller.
    package var callID: UInt64
    /// The called method's number; 0 where none is meant.
    package var method: UInt16
    /// How long the caller waits.
    ///
    /// Whole milliseconds on the wire; nil means without end.
    package var deadline: Duration?
    package var payload: WirePayload

    package init(
        kind: Kind, callID: UInt64 = 0, method: UInt16 = 0, deadline: Duration? = nil,
        payload: WirePayload = WirePayload()
    ) {
        self.kind = kind
        self.callID = callID
        self.method = method
        self.deadline = deadline
        self.payload = payload
    }

    /// Bytes this frame takes on the wire.
    package var byteCount: Int {
        FrameHeader.byteCount + payload.message.readableBytes + payload.bulk.readableBytes
    }
}

/// How large the parts of a frame may be.
///
/// Checked before memory is taken for them.
package struct FrameLimits: Sendable, Equatable {
    /// Bytes of a message, at most, unless configured: 1 MiB.
    package static let messageBytesMax = 1 << 20
    /// Bytes of bulk, at most, unless configured: 1 GiB.
    package static let bulkBytesMax = 1 << 30

    package var messageBytesMax: Int
    package var bulkBytesMax: Int

    package init(
        messageBytesMax: Int = FrameLimits.messageBytesMax,
        bulkBytesMax: Int = FrameLimits.bulkBytesMax
    ) {
        self.messageBytesMax = messageBytesMax
        self.bulkBytesMax = bulkBytesMax
    }

    /// Throws ``WireError/Code/limit`` if `frame` is larger than a peer with these limits takes.
    package func check(_ frame: Frame) throws(WireError) {
        try check(
            messageBytes: frame.payload.message.readableBytes,
            bulkBytes: frame.payload.bulk.readableBytes)
    }

    func check(messageBytes: Int, bulkBytes: Int) throws(WireError) {
        guard messageBytes <= messageBytesMax else {
            throw WireError(
                .limit, "a message of \(messageBytes) bytes exceeds the limit of \(messageBytesMax)"
            )
        }
        guard bulkBytes <= bulkBytesMax else {
            throw WireError(
                .limit, "bulk of \(bulkBytes) bytes exceeds the limit of \(bulkBytesMax)")
        }
    }
}
