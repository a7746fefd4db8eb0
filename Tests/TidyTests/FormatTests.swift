import Foundation
import Testing

/// The formatter has no remark, as `make lint` asks it.
@Suite struct FormatTests {
    @Test func theFormatterIsContent() throws {
        let formatter = Process()
        formatter.executableURL = URL(filePath: "/usr/bin/env")
        formatter.currentDirectoryURL = URL(filePath: Package.root)
        formatter.arguments =
            ["swift", "format", "lint", "--strict", "--recursive", "--parallel"]
            + ["Package.swift", "Sources", "Tests"]
        let output = Pipe()
        formatter.standardError = output
        formatter.standardOutput = output
        try formatter.run()
        let remarks = try output.fileHandleForReading.readToEnd() ?? Data()
        formatter.waitUntilExit()
        #expect(
            formatter.terminationStatus == 0,
            "make format helps with most of it:\n\(String(decoding: remarks, as: UTF8.self))")
    }
}
