/// What went wrong between a run and whoever asks after it.
package struct StatusError: Error, Sendable, CustomStringConvertible {
    package enum Code: Sendable, Equatable {
        /// Nobody listens at the socket.
        case noRun
        /// The socket belongs to someone else.
        case notPermitted
        /// The socket cannot be made: taken, path too long, folder missing.
        case address
        /// The answer was not one of Martlet's.
        case answer
        /// The run understood and declined.
        case refused
    }

    package let code: Code
    /// One line: what was expected, what was found, what to do.
    package let message: String
    package let cause: (any Error)?

    package init(_ code: Code, _ message: String, cause: (any Error)? = nil) {
        self.code = code
        self.message = message
        self.cause = cause
    }

    package var description: String { message }
}
