import Testing

/// What lies in the tree: nothing dead, nothing unfinished, nothing of the machine it was built on.
@Suite struct TreeTests {
    @Test func everySourceIsUsed() {
        expectNone(Self.unused(among: Package.files.filter { $0.path.hasSuffix(".swift") }))
    }

    @Test func namesSayWhatThingsAre() { expectNone(Package.files.flatMap(Self.vagueNames)) }

    @Test func nothingIsLeftForLater() {
        expectNone(Package.files.filter(Self.isChecked).flatMap(Self.leftovers))
    }

    @Test func nothingKnowsTheMachine() {
        expectNone(Package.files.filter(Self.isChecked).flatMap(Self.machineNames))
    }

    /// These tests have to name what they look for.
    private static func isChecked(_ file: SourceText) -> Bool {
        !file.isUnder("Tests/TidyTests")
    }

    // MARK: The rules

    /// A source is used if another file names one of its declarations.
    static func unused(among files: [SourceText]) -> [Finding] {
        var users: [String: Set<String>] = [:]
        for file in files {
            for token in file.tokens where token.isWord {
                users[token.text, default: []].insert(file.path)
            }
        }
        return files.compactMap { file in
            guard file.module != nil, !file.isGenerated else { return nil }
            // The entry point is named by nobody.
            if !file.lines(with: "@ main").isEmpty { return nil }
            let isUsed = file.declarations.contains { (users[$0]?.count ?? 0) > 1 }
            return isUsed ? nil : Finding(file, nil, "nothing else uses it; remove it")
        }
    }

    private static let vagueWords = ["Helper", "Manager", "Util", "Misc", "Common"]

    static func vagueNames(in file: SourceText) -> [Finding] {
        let names = [file.fileName] + file.types
        return names.filter { name in vagueWords.contains(where: name.contains) }.map {
            Finding(file, nil, "\($0) says nothing; name it after what it does")
        }
    }

    private static let leftoverWords: Set<Substring> = ["TODO", "FIXME", "XXX", "HACK"]

    static func leftovers(in file: SourceText) -> [Finding] {
        file.lines.enumerated().compactMap { index, line in
            let words = line.split { !$0.isLetter }
            guard let word = words.first(where: leftoverWords.contains) else { return nil }
            return Finding(file, index + 1, "\(word): do it, or open an issue")
        }
    }

    /// Folders of people and of build machines, this very one's included, and mirrors of
    /// packages.
    private static let machineWords: [String] =
        ["/home/", "/root/", "/Users/", "artifactory", "index-url"]
        + (Package.root.split(separator: "/").count > 1 ? [Package.root + "/"] : [])

    static func machineNames(in file: SourceText) -> [Finding] {
        file.lines.enumerated().compactMap { index, line in
            guard let word = machineWords.first(where: line.contains) else { return nil }
            return Finding(file, index + 1, "\(word) exists on one machine only")
        }
    }

    // MARK: The rules can fail

    @Test func deadFilesAreFound() {
        let files = [
            SourceText("Sources/A/Used.swift", "struct Used {}"),
            SourceText("Sources/A/Extension.swift", "extension Int { func used() {} }"),
            SourceText("Sources/A/Dead.swift", "struct Dead { func unheard() {} }"),
            SourceText("Sources/A/Main.swift", "@main struct Main { let a = Used(); 1.used() }"),
        ]
        #expect(Self.unused(among: files).map(\.path) == ["Sources/A/Dead.swift"])
    }

    @Test func vagueNamesAreFound() {
        let text = "struct BufferManager { let manager = FileManager.default }"
        #expect(Self.vagueNames(in: SourceText("Sources/A/StringUtils.swift", text)).count == 2)
    }

    @Test func leftoversAreFound() {
        #expect(Self.leftovers(in: SourceText("A.md", "a\nb // TODO: c\n\\uXXXX")).count == 1)
        let paths = SourceText("A.md", "see /home/me/x\nand \(Package.root)/Sources")
        #expect(Self.machineNames(in: paths).count >= 1)
    }
}

extension SourceText {
    /// The names of the types it declares.
    var types: [String] { names(after: ["struct", "class", "enum", "actor", "protocol"]) }

    /// The names of all that it declares.
    var declarations: [String] {
        types + names(after: ["func", "let", "var", "case", "typealias"])
    }

    private func names(after keywords: Set<String>) -> [String] {
        tokens.indices.dropLast().compactMap { index in
            guard keywords.contains(tokens[index].text), tokens[index + 1].isWord else {
                return nil
            }
            return tokens[index + 1].text
        }
    }
}
