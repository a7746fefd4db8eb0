import Foundation
import Storage
import Testing

@Suite struct AtomicFileTests {
    @Test func writesAndReplacesWhole() throws {
        let folder = try TemporaryFolder()
        let path = folder.path("x.json")
        try AtomicFile.write(Array("one".utf8), to: path)
        try AtomicFile.write(Array("two".utf8), to: path)
        #expect(try AtomicFile.read(path) == Array("two".utf8))
        try AtomicFile.write([], to: path)
        #expect(try AtomicFile.read(path) == [])
        #expect(try folder.names() == ["x.json"])
    }

    @Test func leavesTheOldFileAndNothingElseWhereItFails() throws {
        let folder = try TemporaryFolder()
        // A folder in the way: the file is written, and can't take its place.
        try folder.write("kept", to: "taken/file")
        #expect(
            try code { try AtomicFile.write([1], to: folder.path("taken")) } == .unwritable)
        #expect(try folder.names() == ["taken"])
        #expect(try bytes(at: folder.path("taken/file")) == Array("kept".utf8))
    }

    @Test func passesByWhatAStoppedProcessLeft() throws {
        let folder = try TemporaryFolder()
        let own = ProcessInfo.processInfo.processIdentifier
        for number in 1...2_000 {
            try folder.write("stale", to: ".x.partial-\(own)-\(number)")
        }
        try AtomicFile.write([1], to: folder.path("x"))
        #expect(try bytes(at: folder.path("x")) == [1])
    }

    @Test func saysWhyAPlaceCanNotBeWritten() throws {
        let folder = try TemporaryFolder()
        let file = try folder.write("a file", to: "file")
        #expect(try code { try AtomicFile.write([1], to: folder.path("none/x")) } == .unwritable)
        #expect(try code { try AtomicFile.write([1], to: "\(file)/x") } == .unwritable)
        #expect(try code { try AtomicFile.write([1], to: "/proc/x") } == .unwritable)
        let full = SystemFailure(number: ENOSPC).writing("/a/b", "write")
        #expect(full.code == .unwritable)
        #expect(
            full.description
                == "can't write /a/b; free some space and try again: No space left on device")
    }

    @Test func saysWhyAFileCanNotBeRead() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write([1, 2, 3], to: "x")
        #expect(try code { _ = try AtomicFile.read(folder.path("none")) } == .missing)
        #expect(try code { _ = try AtomicFile.read("\(path)/x") } == .missing)
        #expect(try code { _ = try AtomicFile.read(folder.path) } == .unreadable)
        #expect(try code { _ = try AtomicFile.read(path, byteCountMax: 2) } == .unsupported)
        #expect(SystemFailure(number: EACCES).reading("x").code == .unreadable)
    }

    @Test func manyWritersLeaveOneWholeFile() async throws {
        let folder = try TemporaryFolder()
        let path = folder.path("x")
        try await withThrowingTaskGroup(of: Void.self) { group in
            for value in 0..<16 as Range<UInt8> {
                group.addTask {
                    try AtomicFile.write(Array(repeating: value, count: 10_000), to: path)
                }
            }
            try await group.waitForAll()
        }
        let read = try bytes(at: path)
        #expect(read.count == 10_000 && Set(read).count == 1)
        #expect(try folder.names() == ["x"])
    }
}
