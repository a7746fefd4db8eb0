package import Wire

/// Enumerations as words: in tables, in metrics and in JSON, where protobuf's mapping uses the
/// same.
extension Martlet_V1_RunStatus.State {
    package var label: String {
        switch self {
        case .unspecified: "unspecified"
        case .starting: "starting"
        case .warmup: "warmup"
        case .training: "training"
        case .draining: "draining"
        case .finished: "finished"
        case .failed: "failed"
        case .UNRECOGNIZED(let value): "state-\(value)"
        }
    }
}

extension Martlet_V1_Member.Role {
    package var label: String {
        switch self {
        case .noRole: "no_role"
        case .coordinator: "coordinator"
        case .shard: "shard"
        case .worker: "worker"
        case .UNRECOGNIZED(let value): "role-\(value)"
        }
    }
}

extension Martlet_V1_Member.State {
    package var label: String {
        switch self {
        case .noState: "no_state"
        case .joining: "joining"
        case .observing: "observing"
        case .active: "active"
        case .draining: "draining"
        case .left: "left"
        case .lost: "lost"
        case .UNRECOGNIZED(let value): "state-\(value)"
        }
    }

    /// Whether the process takes part, or is about to.
    package var isPresent: Bool {
        switch self {
        case .joining, .observing, .active, .draining: true
        default: false
        }
    }
}

extension Martlet_V1_Member {
    /// How a person would call it: the name, after the role where the name does not say it.
    package var title: String { Self.title(role: role.label, name: name) }

    package static func title(role: String, name: String) -> String {
        name.hasPrefix(role) ? name : "\(role) \(name)"
    }
}
