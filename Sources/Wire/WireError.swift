/// What is wrong with bytes that claim to be a frame or a value.
///
/// The sender is at fault, or the bytes were damaged on their way; either way the connection they
/// came on can't be trusted any more.
package struct WireError: Error, Sendable, Equatable, CustomStringConvertible {
    package enum Code: String, Sendable, CaseIterable {
        /// The bytes do not begin with the magic of a frame.
        case notAFrame
        /// The frame is of a version that this build does not speak.
        case version
        /// Header or body do not match their checksum.
        case checksum
        /// A length exceeds its limit.
        case limit
        /// A field holds what no correct sender writes.
        case malformed
    }

    package let code: Code
    /// What was expected and what was found.
    package let message: String

    package init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    package var description: String { message }
}
