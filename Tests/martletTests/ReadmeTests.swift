import Foundation
import Testing

@testable import martlet

/// What the README says is what the program does.
@Suite struct ReadmeTests {
    @Test func exitCodesAreThoseOfTheProgram() throws {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .resolvingSymlinksInPath().deletingLastPathComponent().deletingLastPathComponent()
        let text = try String(contentsOf: root.appendingPathComponent("README.md"), encoding: .utf8)
        for status in ExitStatus.allCases {
            #expect(text.contains("| \(status.rawValue) | \(status.meaning) |"))
        }
    }
}
