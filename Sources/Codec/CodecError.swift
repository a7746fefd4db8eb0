/// Numbers that can't be sent, or bytes that are not what they should be.
package struct CodecError: Error, Sendable, CustomStringConvertible {
    package enum Code: String, Sendable {
        /// The payload, or a part of it, has another length than it should have.
        case wrongLength
        /// The payload is of another codec, version or number of parameters.
        case mismatch
        /// The bytes stand for nothing.
        case malformed
        /// A number is infinite or NaN, or larger than the codec can send.
        case notFinite
    }

    package let code: Code
    package let message: String

    package init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    package var description: String { message }
}
