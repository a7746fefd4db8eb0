internal import LocalSGD
internal import NIOCore
internal import Wire

/// How a worker gets the tokens of its lease.
struct SequenceRequest: Sendable, Equatable {
    enum Stream: Sendable { case training, heldOut }

    var stream: Stream
    var lease: Lease
}

extension SequenceRequest: ProtobufValue {
    var message: Martlet_V1_SequenceRequest {
        var message = Martlet_V1_SequenceRequest()
        message.heldOut = stream == .heldOut
        message.runs = lease.fields
        return message
    }

    init(_ message: Martlet_V1_SequenceRequest, bulk: ByteBuffer) throws(WireError) {
        stream = message.heldOut ? .heldOut : .training
        lease = try Lease(fields: message.runs, "runs")
    }
}

/// Tokens of sequences, one behind the other.
struct TokenBatch: Sendable, Equatable {
    var tokens: [Int32]

    /// Vocabularies up to this size travel in two bytes a token.
    private static let shortVocabulary: Int32 = 65_536
}

extension TokenBatch: ProtobufValue {
    private var isShort: Bool {
        tokens.allSatisfy { $0 >= 0 && $0 < TokenBatch.shortVocabulary }
    }

    var message: Martlet_V1_TokenBatch {
        var message = Martlet_V1_TokenBatch()
        message.count = UInt32(tokens.count)
        message.bytesPerToken = isShort ? 2 : 4
        return message
    }

    var bulk: ByteBuffer {
        var bytes = ByteBuffer()
        if isShort {
            bytes.reserveCapacity(tokens.count * 2)
            for token in tokens { bytes.writeInteger(UInt16(token), endianness: .little) }
        } else {
            bytes.reserveCapacity(tokens.count * 4)
            for token in tokens { bytes.writeInteger(token, endianness: .little) }
        }
        return bytes
    }

    init(_ message: Martlet_V1_TokenBatch, bulk: ByteBuffer) throws(WireError) {
        var bytes = bulk
        let size = Int(message.bytesPerToken)
        guard size == 2 || size == 4, bytes.readableBytes == Int(message.count) * size else {
            throw .field("count", "\(message.count) x \(size) for \(bytes.readableBytes) bytes")
        }
        tokens = []
        tokens.reserveCapacity(Int(message.count))
        while bytes.readableBytes > 0 {
            let token =
                size == 2
                ? bytes.readInteger(endianness: .little, as: UInt16.self).map { Int32($0) }
                : bytes.readInteger(endianness: .little, as: Int32.self)
            guard let token, token >= 0 else { throw .field("bulk", "a negative token") }
            tokens.append(token)
        }
    }
}
