import Cluster
import Inference
import MoE
import Storage

/// The errors of the modules below, with their exit status.
extension ClusterError: CommandFailure {
    var line: String { description }

    var exitStatus: ExitStatus {
        switch code {
        case .connectionLost, .unreachable, .deadlineExceeded, .overloaded: .unavailable
        case .refused, .forbidden, .identity: .notPermitted
        case .address: .system
        case .cancelled: .interrupted
        case .protocolViolation, .remoteFailure: .defect
        }
    }
}

extension StorageError: CommandFailure {
    var line: String { description }

    var exitStatus: ExitStatus {
        switch code {
        case .missing, .unreadable: .missingInput
        case .unwritable: .cannotCreate
        case .corrupt, .unsupported, .mismatch: .badData
        }
    }
}

extension ModelConfigurationError: CommandFailure {
    var line: String { description }
    var exitStatus: ExitStatus { .badData }
}

extension InferenceError: CommandFailure {
    var line: String { message }
    var exitStatus: ExitStatus { .usage }
}
