import Testing

/// What the documents name is there.
@Suite struct DocumentTests {
    static let documents = Package.files.filter { $0.path.hasSuffix(".md") }

    @Test func pathsExist() { expectNone(Self.documents.flatMap(Self.brokenPaths)) }

    @Test func commandsExist() throws {
        let commands = Self.commandNames(in: Package.swiftSources)
        #expect(commands.isSuperset(of: ["up", "worker", "status"]))
        let makefile = try #require(Package.files.first { $0.path == "Makefile" })
        let targets = makefile.lines.filter { $0.first?.isLetter == true }
            .compactMap { $0.split(separator: ":").first.map(String.init) }
        for document in Self.documents {
            expectNone(Self.unknown(document, after: "martlet", known: commands))
            expectNone(Self.unknown(document, after: "make", known: Set(targets)))
        }
    }

    // MARK: The rules

    /// Links to other files, and what stands in backticks and looks like a path of ours.
    static func brokenPaths(in document: SourceText) -> [Finding] {
        let folder = document.path.split(separator: "/").dropLast().map { $0 + "/" }.joined()
        return document.lines.enumerated().flatMap { index, line -> [Finding] in
            let links = line.components(after: "](", until: ")")
                .filter { !$0.contains("://") && !$0.hasPrefix("#") }
                .map { folder + $0.prefix { $0 != "#" } }
            let quoted = line.components(after: "`", until: "`").filter { text in
                ["Sources/", "Tests/", "docs/", "deploy/", "protos/"].contains {
                    text.hasPrefix($0)
                } && !text.contains { $0 == " " || $0 == "*" || $0 == "<" }
            }
            return (links + quoted).filter { !Package.holds($0) }.map {
                Finding(document, index + 1, "\($0) does not exist")
            }
        }
    }

    /// Lines of code blocks and quoted commands that begin with `program` and go on with a word
    /// that is not among `known`.
    static func unknown(
        _ document: SourceText, after program: String, known: Set<String>
    ) -> [Finding] {
        var isCode = false
        return document.lines.enumerated().flatMap { index, line -> [Finding] in
            if line.hasPrefix("```") { isCode.toggle() }
            let commands = isCode ? [String(line)] : line.components(after: "`", until: "`")
            return commands.compactMap { command in
                let words = command.split(separator: " ")
                guard words.count > 1, words[0] == program, words[1].first?.isLetter == true,
                    !known.contains(String(words[1]))
                else { return nil }
                return Finding(document, index + 1, "there is no `\(program) \(words[1])`")
            }
        }
    }

    private static func commandNames(in files: [SourceText]) -> Set<String> {
        Set(
            files.flatMap {
                $0.lines.flatMap { $0.components(after: "commandName: \"", until: "\"") }
            })
    }

    // MARK: The rules can fail

    @Test func whatIsMissingIsFound() {
        let text = """
            [here](missing.md), `Sources/Missing.swift`, `Sources/martlet`, [out](https://a.b)
            ```
            martlet fly --far
            martlet up
            ```
            `martlet land`, but a martlet sits
            """
        let document = SourceText("docs/page.md", text)
        #expect(
            Self.brokenPaths(in: document).map(\.message) == [
                "docs/missing.md does not exist", "Sources/Missing.swift does not exist",
            ])
        let unknown = Self.unknown(document, after: "martlet", known: ["up"])
        #expect(unknown.map(\.line) == [3, 6])
    }
}

extension Substring {
    /// The pieces between `opening` and the next `closing`, from left to right.
    fileprivate func components(after opening: String, until closing: Character) -> [String] {
        var pieces: [String] = []
        var rest = self
        while let start = rest.firstRange(of: opening) {
            rest = rest[start.upperBound...]
            guard let end = rest.firstIndex(of: closing) else { break }
            pieces.append(String(rest[..<end]))
            rest = rest[rest.index(after: end)...]
        }
        return pieces
    }
}
