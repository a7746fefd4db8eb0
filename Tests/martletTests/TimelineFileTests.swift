import Foundation
import Logging
import Roles
import Storage
import Testing

@testable import martlet

/// Files of time lines: as they are written, cut off, full, and as nobody writes them.
@Suite("Files of time lines")
struct TimelineFileTests {
    private static let spans = [
        Span(.join, began: .microseconds(5), ended: .microseconds(1999)),
        Span(.push, round: 0, module: 3, began: .milliseconds(4), ended: .milliseconds(9)),
        Span(.push, round: 0, module: 1, began: .milliseconds(2), ended: .milliseconds(10)),
        Span(.closeRound, round: 12, steps: 16, began: .seconds(20), ended: .seconds(21)),
        Span(.stepAhead, round: 13, began: .seconds(22), ended: .seconds(22)),
    ]

    private func written(_ spans: [Span], spansMax: Int = 100, ends: Bool = true) throws -> [UInt8]
    {
        let path = NSTemporaryDirectory() + UUID().uuidString
        defer { try? FileManager.default.removeItem(atPath: path) }
        try "something old and longer than what comes".write(
            toFile: path, atomically: true, encoding: .utf8)
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let writer = try TimelineWriter(path, name: "w-7", spansMax: spansMax, logger: logger)
        for span in spans { writer.record(span) }
        writer.finish()
        writer.record(Self.spans[0])
        writer.finish()
        let bytes = try AtomicFile.read(path)
        return ends ? bytes : Array(bytes.dropLast("\n]\n".utf8.count))
    }

    @Test("What was written is read again")
    func thereAndBack() throws {
        let bytes = try written(Self.spans)
        let timeline = try Timeline(bytes, from: "f")
        #expect(timeline.name == "w-7")
        #expect(timeline.spans == Self.spans)
        #expect(!timeline.isCut)
        #expect(try Timeline(written(Self.spans, ends: false), from: "f") == timeline)
        // As other programs see it: complete JSON, threads of which no two spans overlap.
        let events = try #require(
            JSONSerialization.jsonObject(with: Data(bytes)) as? [[String: Any]])
        let pushes = events.filter { $0["name"] as? String == "push" }
        #expect(Set(pushes.compactMap { $0["tid"] as? Int }).count == 2)
        #expect(events.allSatisfy { $0["ph"] is String && $0["pid"] is Int })
    }

    @Test("A file cut off anywhere has the spans before")
    func cutAnywhere() throws {
        let bytes = try written(Self.spans)
        var counts: Set<Int> = []
        var last = 0
        for end in 0..<bytes.count {
            guard let timeline = try? Timeline(Array(bytes[..<end]), from: "f") else {
                #expect(last == 0, "what could be read up to \(end - 1) can't be up to \(end)")
                continue
            }
            #expect(timeline.spans == Array(Self.spans.prefix(timeline.spans.count)))
            #expect(timeline.spans.count >= last)
            last = timeline.spans.count
            counts.insert(last)
        }
        #expect(counts == Set(1...Self.spans.count))
    }

    @Test("A full file says so once and is complete")
    func full() throws {
        let bytes = try written(Self.spans + Self.spans, spansMax: 4)
        let timeline = try Timeline(bytes, from: "f")
        #expect(timeline.spans == Array(Self.spans.prefix(4)))
        #expect(timeline.isCut)
        let text = String(decoding: bytes, as: UTF8.self)
        #expect(text.components(separatedBy: "no more than 4 events are kept").count == 2)
        #expect(text.hasSuffix("\n]\n"))
        #expect(try !Timeline(written(Self.spans, spansMax: 5), from: "f").isCut)
    }

    @Test("A file that can't be made is one line")
    func unwritable() {
        let logger = Logger(label: "test")
        let error = #expect(throws: StorageError.self) {
            try TimelineWriter("/nowhere/f", name: "w", logger: logger)
        }
        #expect(error?.code == .unwritable)
        #expect(error?.message.contains("/nowhere/f") == true)
    }

    @Test(
        "Odd files are refused by one line that says where",
        arguments: [
            ("", "f is no time line: the document ends too early at byte 0"),
            ("\u{0}\u{1}", "f is no time line: neither a value nor a digit at byte 0"),
            ("{\"traceEvents\":[]}", "f is no time line: its JSON is not an array"),
            ("[]", "f has no span of a worker in it"),
            ("[{\"name\":\"other\",\"ph\":\"X\"},{}]", "f has no span of a worker in it"),
            ("[7]", "f: event 1 is not an object"),
            (
                "[{},{\"name\":\"step\",\"ph\":\"X\",\"dur\":1}]",
                "f: event 2 (step) has no 'ts' in microseconds"
            ),
            (
                "[{\"name\":\"step\",\"ph\":\"X\",\"ts\":-1,\"dur\":1}]",
                "f: event 1 (step) has no 'ts' in microseconds"
            ),
            (
                "[{\"name\":\"step\",\"ph\":\"X\",\"ts\":1,\"dur\":1e300}]",
                "f: event 1 (step) has no 'dur' in microseconds"
            ),
            (
                "[{\"name\":\"pull\",\"ph\":\"X\",\"ts\":1,\"dur\":\"2\"}]",
                "f: event 1 (pull) has no 'dur' in microseconds"
            ),
            (
                "[{\"name\":\"pull\",\"ph\":\"X\",\"ts\":1,\"dur\":2,\"args\":{\"module\":null}}]",
                "f: event 1 (pull) has no whole number as its 'module'"
            ),
            (
                "[{\"name\":\"step\",\"ph\":\"X\",\"ts\":1,\"dur\":2,\"args\":"
                    + "{\"round\":9223372036854775807}}]",
                "f: event 1 (step) has no whole number as its 'round'"
            ),
        ])
    func oddFiles(text: String, message: String) {
        let error = #expect(throws: CommandError.self) {
            try Timeline(Array(text.utf8), from: "f")
        }
        #expect(error == CommandError(.badData, message))
    }

    @Test("Rounds on the command line")
    func roundRanges() {
        #expect(RoundRange(argument: "4-7")?.range == 4...7)
        #expect(RoundRange(argument: "4")?.range == 4...4)
        for odd in ["", "-", "4-", "-4", "7-4", "a-b", "4-5-6", "+4", "99999999999999999999"] {
            #expect(RoundRange(argument: odd) == nil, "\(odd)")
        }
    }
}
