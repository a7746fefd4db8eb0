package import NIOCore
package import SwiftProtobuf

/// A wire value whose message is a protobuf: the only place where protobufs become bytes and back.
package protocol ProtobufValue: WireValue {
    associatedtype Message: SwiftProtobuf.Message

    /// The value as a message. Tensors and tokens are not in it.
    var message: Message { get }
    /// What travels beside the message; empty for most.
    var bulk: ByteBuffer { get }

    /// Checks the message and takes it in; throws if a field is missing or out of range.
    init(_ message: Message, bulk: ByteBuffer) throws(WireError)
}

extension ProtobufValue {
    package var bulk: ByteBuffer { ByteBuffer() }

    package func encode() -> WirePayload {
        do {
            let bytes: [UInt8] = try message.serializedBytes()
            return WirePayload(message: ByteBuffer(bytes: bytes), bulk: bulk)
        } catch {
            // Proto3 has no required fields, so only an absurdly large message can fail.
            preconditionFailure("\(Message.self) can't be serialized: \(error)")
        }
    }

    package init(decoding payload: WirePayload) throws(WireError) {
        let message: Message
        do {
            message = try Message(serializedBytes: Array(payload.message.readableBytesView))
        } catch {
            throw WireError(.malformed, "a \(Message.protoMessageName) does not parse: \(error)")
        }
        try self.init(message, bulk: payload.bulk)
    }
}
