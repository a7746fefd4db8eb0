internal import LocalSGD
internal import Wire

/// Checks that every message's reader needs. Numbers from the wire are never trusted: each is
/// bounded before it becomes an index, a count or a duration.

/// Rounds, modules, steps and tokens beyond these are nonsense.
enum FieldLimits {
    static let roundsMax: UInt32 = 1 << 30
    static let modulesMax: UInt32 = 1 << 16
    static let stepsMax: UInt64 = 1 << 40
    static let tokensMax: UInt64 = 1 << 56
    static let versionsMax: UInt64 = 1 << 48
    /// What a worker can have counted in a round; all workers' together fit a whole number.
    static let roundCountMax: UInt64 = 1 << 48
    static let workersMax = 4096
    static let expertsMax = 65_536
    static let runsMax = 65_536
    /// Thirty days.
    static let nanosecondsMax: UInt64 = 30 * 86_400 * 1_000_000_000
    static let nameBytesMax = 64
    static let reasonBytesMax = 4096
}

extension WireError {
    static func field(_ name: String, _ found: some CustomStringConvertible) -> WireError {
        WireError(.malformed, "field \(name) can't be \(found)")
    }
}

/// A count or an index, at most `limit`.
func checked(_ value: UInt32, _ name: String, max limit: UInt32) throws(WireError) -> Int {
    guard value <= limit else { throw .field(name, value) }
    return Int(value)
}

func checked(_ value: UInt64, _ name: String, max limit: UInt64) throws(WireError) -> Int {
    guard value <= limit else { throw .field(name, value) }
    return Int(value)
}

/// The version of a module.
func checkedVersion(_ value: UInt64, _ name: String = "version") throws(WireError) -> UInt64 {
    guard value <= FieldLimits.versionsMax else { throw .field(name, value) }
    return value
}

/// A finite number.
func checked(_ value: Double, _ name: String) throws(WireError) -> Double {
    guard value.isFinite else { throw .field(name, value) }
    return value
}

/// A node's name as certificates allow it.
func checkedName(_ value: String, _ name: String) throws(WireError) -> String {
    guard !value.isEmpty, value.utf8.count <= FieldLimits.nameBytesMax else {
        throw .field(name, "'\(value.prefix(80))'")
    }
    return value
}

/// Text for people, cut to a decent length.
func checkedReason(_ value: String) -> String {
    String(value.prefix(FieldLimits.reasonBytesMax))
}

extension Duration {
    /// As it travels, up to the limit.
    var nanoseconds: UInt64 {
        let (seconds, attoseconds) = components
        let whole = UInt64(clamping: seconds) < FieldLimits.nanosecondsMax / 1_000_000_000
        return whole
            ? UInt64(clamping: seconds) * 1_000_000_000 + UInt64(clamping: attoseconds)
                / 1_000_000_000 : FieldLimits.nanosecondsMax
    }

    init(checking nanoseconds: UInt64, _ name: String) throws(WireError) {
        self = .nanoseconds(
            Int64(try checked(nanoseconds, name, max: FieldLimits.nanosecondsMax)))
    }
}

extension Martlet_V1_SequenceRun {
    init(_ run: Range<UInt64>) {
        self.init()
        first = run.lowerBound
        end = run.upperBound
    }

    init(_ run: Range<Int>) { self.init(UInt64(run.lowerBound)..<UInt64(run.upperBound)) }

    func range(_ name: String) throws(WireError) -> Range<UInt64> {
        guard first <= end, end <= FieldLimits.tokensMax else {
            throw .field(name, "\(first)..<\(end)")
        }
        return first..<end
    }

    func indices(_ name: String) throws(WireError) -> Range<Int> {
        let run = try range(name)
        return Int(run.lowerBound)..<Int(run.upperBound)
    }
}

extension Lease {
    var fields: [Martlet_V1_SequenceRun] { runs.map { Martlet_V1_SequenceRun($0) } }

    init(fields: [Martlet_V1_SequenceRun], _ name: String) throws(WireError) {
        guard fields.count <= FieldLimits.runsMax else { throw .field(name, fields.count) }
        var runs: [Range<UInt64>] = []
        for field in fields { runs.append(try field.range(name)) }
        self.init(runs: runs)
    }
}

extension RoundKind {
    var field: Martlet_V1_RoundKind {
        switch self {
        case .warmup: .warmup
        case .local: .local
        }
    }

    init(field: Martlet_V1_RoundKind) throws(WireError) {
        switch field {
        case .warmup: self = .warmup
        case .local: self = .local
        default: throw .field("kind", "\(field)")
        }
    }
}

extension Verdict {
    var field: Martlet_V1_Verdict {
        switch self {
        case .sound: .sound
        case .anomaly: .anomaly
        case .empty: .empty
        }
    }

    init(field: Martlet_V1_Verdict) throws(WireError) {
        switch field {
        case .sound: self = .sound
        case .anomaly: self = .anomaly
        case .empty: self = .empty
        default: throw .field("verdict", "\(field)")
        }
    }
}
