import Roles

/// The rows of a time line, from top to bottom.
enum Lane: String, CaseIterable, Sendable {
    case steps
    case push
    case pull
    /// What the coordinator wants, and waits.
    case coordinator
}

extension Span.Activity {
    var lane: Lane {
        switch self {
        case .warmupStep, .step, .stepAhead: .steps
        case .closeRound, .norms, .encode, .push: .push
        case .pull, .adopt: .pull
        case .join, .ask, .fetch, .grace, .rest, .evaluate, .save: .coordinator
        }
    }
}

/// Puts spans of a lane that overlap beside each other, in as few rows as they need.
///
/// They come in the order in which they ended.
struct LaneRows: Sendable {
    /// Rows of a lane, at most; what needs more shares the last.
    static let rowsMax = 64

    /// When the last span of each row ended.
    private var ended: [Duration] = []

    var count: Int { ended.count }

    /// The row of `span`, from 0.
    mutating func row(of span: Span) -> Int {
        let free = ended.firstIndex { $0 <= span.began } ?? ended.count
        let row = min(free, Self.rowsMax - 1)
        if row == ended.count { ended.append(span.ended) } else { ended[row] = span.ended }
        return row
    }
}
