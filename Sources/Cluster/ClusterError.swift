/// What goes wrong between nodes.
package struct ClusterError: Error, Sendable, CustomStringConvertible {
    package enum Code: String, Sendable, CaseIterable {
        /// No connection to the peer, or it went away while the call was under way.
        case connectionLost
        /// The address did not answer or refused the connection.
        case unreachable
        /// The peer's certificate, role, cluster or protocol version is not acceptable (or ours is
        /// not to it).
        case refused
        /// The caller's role may not call this method.
        case forbidden
        /// The call took longer than it was given.
        case deadlineExceeded
        /// A limit on frames, calls or bytes under way is reached.
        case overloaded
        /// The peer sent something that no correct peer sends.
        case protocolViolation
        /// The called method threw; the message is what it said.
        case remoteFailure
        /// An identity or authority file is unreadable, malformed or not for this purpose.
        case identity
        /// The local address can't be listened on.
        case address
        /// The call was cancelled by its caller.
        case cancelled
    }

    package let code: Code
    /// What was expected, what was found, what to do.
    package let message: String
    /// The error underneath, if there is one.
    package let cause: (any Error)?

    package init(_ code: Code, _ message: String, cause: (any Error)? = nil) {
        self.code = code
        self.message = message
        self.cause = cause
    }

    package var description: String {
        cause.map { "\(message) (\($0))" } ?? message
    }
}
