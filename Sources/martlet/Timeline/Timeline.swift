import Roles
import Storage

/// What a worker did and when, as read from a file that ``TraceEvents`` describes.
///
/// The file may be cut off anywhere behind its first line; other tools' events are passed over.
struct Timeline: Sendable, Equatable {
    /// Latest time that is read, in microseconds: 30 years.
    private static let timeMax = 1_000_000_000_000_000
    /// Largest number of a round, a module or of steps that is read.
    private static let numberMax = 1 << 40

    /// The worker's.
    var name = "worker"
    /// In the order of the file: that in which they ended.
    var spans: [Span] = []
    /// Whether the worker went on when the file was full.
    var isCut = false

    init(name: String, spans: [Span]) {
        self.name = name
        self.spans = spans
    }

    /// Reads the file at `path`.
    ///
    /// Throws `StorageError`, and a `CommandError` for what no worker has written.
    init(file path: String) throws {
        try self.init(AtomicFile.read(path), from: path)
    }

    init(_ bytes: [UInt8], from path: String) throws(CommandError) {
        let document = try Self.document(bytes, from: path)
        guard let events = document.array else {
            throw CommandError(.badData, "\(path) is no time line: its JSON is not an array")
        }
        for (index, event) in events.enumerated() {
            do throws(Problem) { try take(event) } catch {
                throw CommandError(.badData, "\(path): event \(index + 1) \(error.text)")
            }
        }
        guard !spans.isEmpty else {
            throw CommandError(.badData, "\(path) has no span of a worker in it")
        }
    }

    // MARK: Events

    private struct Problem: Error { var text: String }

    private mutating func take(_ event: JSON) throws(Problem) {
        guard event.members != nil else { throw Problem(text: "is not an object") }
        let title = event["name"]?.string ?? ""
        switch event["ph"]?.string {
        case "M":
            if title == "process_name", let name = event["args"]?["name"]?.string {
                self.name = name
            }
        case "i": isCut = isCut || title.hasPrefix(TraceEvents.limitNote)
        case "X":
            guard let activity = Span.Activity(rawValue: title) else { return }
            spans.append(try Self.span(activity, event))
        default: return
        }
    }

    private static func span(
        _ activity: Span.Activity, _ event: JSON
    ) throws(Problem) -> Span {
        guard let began = whole(event["ts"], to: timeMax) else {
            throw Problem(text: "(\(activity.rawValue)) has no 'ts' in microseconds")
        }
        guard let taken = whole(event["dur"], to: timeMax) else {
            throw Problem(text: "(\(activity.rawValue)) has no 'dur' in microseconds")
        }
        var numbers: [String: Int] = [:]
        for name in ["round", "module", "steps"] {
            guard let value = event["args"]?[name] else { continue }
            guard let number = whole(value, to: numberMax) else {
                throw Problem(text: "(\(activity.rawValue)) has no whole number as its '\(name)'")
            }
            numbers[name] = number
        }
        return Span(
            activity, round: numbers["round"], module: numbers["module"],
            steps: numbers["steps"], began: .microseconds(began),
            ended: .microseconds(began + taken))
    }

    /// A number from 0 to `limit`, rounded down: other tools save times with a fraction.
    private static func whole(_ value: JSON?, to limit: Int) -> Int? {
        switch value {
        case .integer(let number): (0...limit).contains(number) ? number : nil
        case .number(let number): number >= 0 && number <= Double(limit) ? Int(number) : nil
        default: nil
        }
    }

    // MARK: Text

    /// The whole document, or as much of it as a killed worker has left.
    private static func document(
        _ bytes: [UInt8], from path: String
    ) throws(CommandError) -> JSON {
        do throws(JSONSyntaxError) { return try JSON(parsing: bytes) } catch {
            for text in [bytes[...], completeLines(bytes)] {
                if let document = try? JSON(parsing: closed(text)) { return document }
            }
            throw CommandError(.badData, "\(path) is no time line: \(error)")
        }
    }

    /// Without the line that was being written.
    private static func completeLines(_ bytes: [UInt8]) -> ArraySlice<UInt8> {
        bytes.lastIndex(of: UInt8(ascii: "\n")).map { bytes[..<$0] } ?? []
    }

    /// With the bracket at the end that is missing, and without a comma before it.
    private static func closed(_ text: ArraySlice<UInt8>) -> [UInt8] {
        let space: Set<UInt8> = [0x20, 0x0a, 0x0d, 0x09, UInt8(ascii: ",")]
        let end = text.lastIndex { !space.contains($0) }.map { $0 + 1 } ?? text.startIndex
        return text[..<end] + [UInt8(ascii: "]")]
    }
}
