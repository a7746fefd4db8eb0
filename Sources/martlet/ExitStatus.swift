/// How every `martlet` command ends: the numbers of BSD's sysexits, so that scripts can tell a
/// mistake in the command line from a bad file and a bad file from an absent cluster.
enum ExitStatus: Int32, CaseIterable, Sendable {
    /// Done. A run that was asked to stop, and did so with a checkpoint, is done too.
    case success = 0
    /// The command line is wrong.
    case usage = 64
    /// A file was read and is not what it should be: corrupt, foreign, of another shape.
    case badData = 65
    /// A file or folder that is needed is missing, unreadable or empty.
    case missingInput = 66
    /// Nobody answers, or whoever does cannot serve: no run at the socket, no coordinator.
    case unavailable = 69
    /// A defect in Martlet.
    case defect = 70
    /// The operating system refused: a port in use, no process, no memory.
    case system = 71
    /// An output file or folder cannot be made.
    case cannotCreate = 73
    /// The run lost something it needs and stopped; its checkpoints are whole. Resume it.
    case interrupted = 75
    /// An identity was refused.
    case notPermitted = 77
    /// The configuration is wrong.
    case badConfiguration = 78

    /// What the number says, for the documentation.
    var meaning: String {
        switch self {
        case .success: "done; also after a stop that was asked for"
        case .usage: "the command line is wrong"
        case .badData: "a file is corrupt, foreign or of another shape"
        case .missingInput: "a file or folder is missing, unreadable or empty"
        case .unavailable: "no run or coordinator answers"
        case .defect: "a defect in Martlet"
        case .system: "the operating system refused, for instance a port in use"
        case .cannotCreate: "an output file or folder cannot be made"
        case .interrupted: "the run lost a process it needs; resume it"
        case .notPermitted: "an identity was refused"
        case .badConfiguration: "the configuration is wrong"
        }
    }
}

/// The one way a command fails: what to tell the user, and the number to end with.
struct CommandError: Error, Equatable {
    let status: ExitStatus
    /// One line without a full stop: what was expected, what was found, what to do.
    let message: String

    init(_ status: ExitStatus, _ message: String) {
        self.status = status
        self.message = message
    }
}
