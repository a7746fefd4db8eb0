package import NIOCore
package import Tensors

/// What all workers have of a module that its server holds as A (EF21-P, 2209.15218): it hands out
/// Q(A - S) and adds the same to S.
///
/// What a payload leaves out stays in A - S, so the next one says it. Both ends add the same
/// numbers to the same numbers, so whoever took every payload, or S itself and those after it, has
/// S bit for bit. A worker's anchor is what it has, never A.
package struct BroadcastShadow: Sendable {
    /// What all workers have, [n]; never changed, so whoever holds an earlier one keeps it.
    package private(set) var parameters: FloatBuffer
    package let codec: Codec

    /// Begins with `parameters` [n], which nobody may change: workers must have got those in full.
    package init(parameters: FloatBuffer, codec: Codec = .topKDown) {
        precondition(codec != .raw, "raw parameters have no difference to send")
        self.parameters = parameters
        self.codec = codec
    }

    /// What brings workers nearer to `target` [n]; S is then where they will be.
    ///
    /// If it throws, nothing has changed.
    package mutating func publish(_ target: FloatBuffer) throws(CodecError) -> ByteBuffer {
        precondition(target.count == parameters.count)
        let payload = try codec.encode(Feedback(anchor: target, local: parameters), next: nil)
        let next = parameters.duplicate()
        try codec.add(payload, to: next)
        guard next.allFinite else { throw .immoderate }
        parameters = next
        return payload
    }

    /// The other end: adds what `payload` says to a worker's `parameters` [n].
    ///
    /// The payload is checked before anything is added.
    package static func receive(
        _ payload: ByteBuffer, codec: Codec, parameters: FloatBuffer
    ) throws(CodecError) {
        try codec.check(payload, count: parameters.count)
        try codec.add(payload, to: parameters)
    }
}
