/// What goes wrong with files and with what stands in them.
package struct StorageError: Error, Sendable, CustomStringConvertible {
    package enum Code: String, Sendable, CaseIterable {
        /// The file, folder or tensor is not there.
        case missing
        /// The file is there and can't be read.
        case unreadable
        /// The place can't be written: permission, space, or a file in the way.
        case unwritable
        /// The contents are damaged: no correct writer leaves them like this.
        case corrupt
        /// The contents are sound, but of a kind that is not read here.
        case unsupported
        /// The contents are sound, but do not belong to what they are to be used for.
        case mismatch
    }

    package let code: Code
    /// What was expected, what was found, what to do; always names the file.
    package let message: String
    /// The error underneath, if there is one.
    package let cause: (any Error)?

    package init(_ code: Code, _ message: String, cause: (any Error)? = nil) {
        self.code = code
        self.message = message
        self.cause = cause
    }

    package var description: String {
        cause.map { "\(message): \($0)" } ?? message
    }
}
