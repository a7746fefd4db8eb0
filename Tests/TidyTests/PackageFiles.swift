import FoundationEssentials
import Testing

/// The package as it lies in its folder.
enum Package {
    /// The folder of `Package.swift`.
    static let root: String = {
        let folders = URL(filePath: #filePath).resolvingSymlinksInPath().pathComponents
        return "/" + folders.dropFirst().dropLast(3).joined(separator: "/")
    }()

    /// All text files that are part of it, sorted by path.
    static let files: [SourceText] =
        folders.flatMap { folder -> [String] in
            let names =
                (try? FileManager.default.subpathsOfDirectory(atPath: root + "/" + folder)) ?? []
            return names.map { folder + "/" + $0 }
        }.sorted().filter(isText).compactMap(load) + rootFiles.compactMap(load)

    static let swiftSources = files.filter { $0.module != nil && $0.path.hasSuffix(".swift") }

    static let code = files.filter { file in
        ["swift", "c", "h"].contains { file.path.hasSuffix("." + $0) } && !file.isGenerated
    }

    private static let folders = ["Sources", "Tests", "deploy", "docs", "protos"]
    private static let rootFiles = ["Package.swift", "README.md", "Makefile", ".swift-format"]
    private static let extensions = [
        "swift", "c", "h", "proto", "md", "yaml", "yml", "sh", "py", "txt",
    ]

    private static func isText(_ path: String) -> Bool {
        extensions.contains { path.hasSuffix("." + $0) } && !path.contains("/Fixtures/")
            && !path.contains("/__pycache__/")
    }

    private static func load(_ path: String) -> SourceText? {
        guard let bytes = FileManager.default.contents(atPath: root + "/" + path) else {
            return nil
        }
        return SourceText(path, String(decoding: bytes, as: UTF8.self))
    }

    static func holds(_ path: String) -> Bool {
        FileManager.default.fileExists(atPath: root + "/" + path)
    }
}

/// Something that is against a rule of the house.
struct Finding: Equatable, CustomStringConvertible {
    let path: String
    let line: Int?
    let message: String

    init(_ file: SourceText, _ line: Int? = nil, _ message: String) {
        path = file.path
        self.line = line
        self.message = message
    }

    var description: String { "\(path):\(line.map { "\($0):" } ?? "") \(message)" }
}

/// Fails with every finding on a line of its own.
func expectNone(_ findings: [Finding], location: SourceLocation = #_sourceLocation) {
    let list = findings.map { "\n  \($0)" }.joined()
    #expect(findings.isEmpty, "\(findings.count) findings:\(list)", sourceLocation: location)
}

@Suite struct PackageTests {
    /// A walk that finds nothing would let everything pass.
    @Test func theWalkFindsTheSources() {
        #expect(Package.swiftSources.count > 100)
        #expect(Package.code.contains { $0.path == "Sources/CKernels/include/kernels.h" })
        #expect(Package.files.contains { $0.path == "README.md" })
    }

    @Test func tokensAreThoseOfTheCodeOnly() {
        let text = ##"""
            a /* b */ .c // d
            let e = "f \(g("h")) i" + #"j \#(k) \(l)"# + """
                m \(n)
                """
            o!
            """##
        let tokens = SourceText("x.swift", text).tokens
        #expect(
            tokens.map(\.text) == [
                "a", ".", "c", "let", "e", "=", "g", "(", ")", "+", "k", "+", "n", "o", "!",
            ])
        #expect(tokens.last?.line == 5)
    }
}
