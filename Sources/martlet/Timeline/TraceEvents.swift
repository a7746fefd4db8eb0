import Roles
import Storage

/// Spans as text in Chrome's Trace Event Format, for Perfetto and chrome://tracing: an array of
/// events, one a line.
///
/// Every event but the first brings the comma before it, and readers do without the last bracket:
/// what a killed worker leaves behind can be read.
///
///     [
///     {"name":"process_name","ph":"M","pid":1,"args":{"name":"worker-1"}},
///     {"name":"step","cat":"steps","ph":"X","ts":1200,"dur":35000,"pid":1,"tid":0,"args":{...}}
///     ]
struct TraceEvents: Sendable {
    /// Spans in a file, at most: about a day of a worker, and 40 MB.
    static let spansMax = 250_000
    /// Begins the name of the event that says so.
    static let limitNote = "no more than"

    private let spansMax: Int
    private var count = 0
    private var rows: [Lane: LaneRows] = [:]

    init(spansMax: Int = Self.spansMax) { self.spansMax = spansMax }

    var isFull: Bool { count > spansMax }

    /// The beginning of the file of the worker called `name`.
    func opening(_ name: String) -> [UInt8] {
        Array("[\n".utf8) + metadata("process_name", name: name).encoded()
    }

    /// What `span` adds; a note at the limit, and nothing from then on.
    mutating func text(of span: Span) -> [UInt8] {
        guard !isFull else { return [] }
        count += 1
        guard !isFull else { return line(note(at: span.ended)) }
        let lane = span.activity.lane
        let known = rows[lane]?.count ?? 0
        let row = rows[lane, default: LaneRows()].row(of: span)
        let thread = (Lane.allCases.firstIndex(of: lane) ?? 0) * LaneRows.rowsMax + row
        var text: [UInt8] = []
        if row >= known {
            let title = row == 0 ? lane.rawValue : "\(lane.rawValue) \(row + 1)"
            text += line(metadata("thread_name", thread: thread, name: title))
        }
        return text + line(event(span, lane, thread))
    }

    var closing: [UInt8] { Array("\n]\n".utf8) }

    // MARK: Events

    private func line(_ event: JSON) -> [UInt8] { Array(",\n".utf8) + event.encoded() }

    private func event(_ span: Span, _ lane: Lane, _ thread: Int) -> JSON {
        let (began, ended) = (span.began.microseconds, span.ended.microseconds)
        let facts = [("round", span.round), ("module", span.module), ("steps", span.steps)]
        return [
            "name": .string(span.activity.rawValue), "cat": .string(lane.rawValue), "ph": "X",
            "ts": .integer(began), "dur": .integer(max(ended - began, 0)), "pid": 1,
            "tid": .integer(thread),
            "args": .object(
                facts.compactMap { name, value in
                    value.map { JSON.Member(name: name, value: .integer($0)) }
                }),
        ]
    }

    private func metadata(_ kind: String, thread: Int = 0, name: String) -> JSON {
        [
            "name": .string(kind), "ph": "M", "pid": 1, "tid": .integer(thread),
            "args": ["name": .string(name)],
        ]
    }

    private func note(at time: Duration) -> JSON {
        [
            "name": .string("\(Self.limitNote) \(spansMax) events are kept"), "ph": "i", "s": "g",
            "ts": .integer(time.microseconds), "pid": 1, "tid": 0,
        ]
    }
}

extension Duration {
    /// Whole microseconds, rounded down.
    var microseconds: Int {
        let (seconds, attoseconds) = components
        return Int(seconds) * 1_000_000 + Int(attoseconds / 1_000_000_000_000)
    }
}
