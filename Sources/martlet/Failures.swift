import Status

/// An error of Martlet's own that knows its exit status.
protocol CommandFailure: Error {
    var exitStatus: ExitStatus { get }
    /// One line without a full stop.
    var line: String { get }
}

extension CommandError: CommandFailure {
    var exitStatus: ExitStatus { status }
    var line: String { message }

    /// Any error as a line and an exit status.
    ///
    /// What no case here knows is a defect, and said to be one.
    init(describing error: any Error) {
        if let failure = error as? any CommandFailure {
            self.init(failure.exitStatus, failure.line.onOneLine)
        } else {
            self.init(.defect, "unexpected: \(String(describing: error).onOneLine)")
        }
    }
}

extension ConfigurationError: CommandFailure {
    var exitStatus: ExitStatus { .badConfiguration }
    var line: String { description }
}

extension StatusError: CommandFailure {
    var line: String { message }

    var exitStatus: ExitStatus {
        switch code {
        case .noRun, .answer: .unavailable
        case .notPermitted: .notPermitted
        case .address: .system
        case .refused: .usage
        }
    }
}

extension String {
    /// The text with line breaks as blanks.
    var onOneLine: String { split(whereSeparator: \.isNewline).joined(separator: " ") }
}
