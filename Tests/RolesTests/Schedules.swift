import FoundationEssentials

/// How many schedules of faults a test goes through, in parts that run side by side: 100, or what
/// `make schedules` says.
enum Schedules {
    static let parts = 0..<8
    static let count =
        ProcessInfo.processInfo.environment["MARTLET_SCHEDULES"].flatMap { Int($0) } ?? 100

    /// Every so many seeds from 1 on.
    static func seeds(of part: Int) -> [UInt64] {
        stride(from: part, to: count, by: parts.count).map { UInt64($0 + 1) }
    }
}
