import Testing

/// Dictionaries and sets have another order in every process.
///
/// Where one seed must give one history, a loop over one says `sorted`.
@Suite struct OrderTests {
    static let folders = [
        "Sources/Cluster/InMemory", "Sources/Cluster/System", "Sources/Codec", "Sources/LocalSGD",
        "Sources/Roles",
    ]

    @Test func loopsHaveOneOrder() {
        let files = Package.swiftSources.filter { file in Self.folders.contains(where: file.isUnder)
        }
        for group in Dictionary(grouping: files, by: \.module).values {
            expectNone(Self.unordered(in: group))
        }
    }

    /// Loops over `.keys` and `.values`, and over what the module declares as a dictionary or set.
    ///
    /// Names are all it goes by. One that also stands for an array counts as hashed where it stands
    /// alone: `members`, not `opening.members`.
    static func unordered(in files: [SourceText]) -> [Finding] {
        let hashed = Set(files.flatMap { hashedNames(in: $0.tokens) })
        let listed = Set(files.flatMap { listedNames(in: $0.tokens) })
        return files.flatMap { file in
            file.tokens.indices.compactMap { start -> Finding? in
                guard file.tokens[start].text == "for" else { return nil }
                let sequence = loopedOver(from: start, in: file.tokens)
                guard let last = sequence.last, !sequence.contains("sorted") else { return nil }
                let isAlone = sequence.count == 1 || sequence.first == "self"
                let isHashed =
                    last == "keys" || last == "values"
                    || hashed.contains(last) && (isAlone || !listed.contains(last))
                guard isHashed else { return nil }
                return Finding(
                    file, file.tokens[start].line,
                    "the order of \(last) differs from run to run; loop over it sorted")
            }
        }
    }

    /// The tokens between `in` and the loop's body, or its `where`.
    private static func loopedOver(from start: Int, in tokens: [Token]) -> [String] {
        let head = tokens[start...].prefix(64).map(\.text)
        guard let body = head.firstIndex(where: { $0 == "{" || $0 == "where" }),
            let word = head[..<body].firstIndex(of: "in")
        else { return [] }
        return Array(head[(word + 1)..<body])
    }

    /// `name: [Key: Value]` and `name: Set<Value>`.
    private static func hashedNames(in tokens: [Token]) -> [String] {
        tokens.indices.dropLast(4).compactMap { index in
            guard tokens[index].isWord, tokens[index + 1].text == ":" else { return nil }
            let type = tokens[index + 2].text
            let isSet = type == "Set" && tokens[index + 3].text == "<"
            let isDictionary =
                type == "[" && tokens[index + 3].isWord && tokens[index + 4].text == ":"
            return isSet || isDictionary ? tokens[index].text : nil
        }
    }

    /// `name: [Element]`.
    private static func listedNames(in tokens: [Token]) -> [String] {
        tokens.indices.dropLast(4).compactMap { index in
            let isList =
                tokens[index].isWord && tokens[index + 1].text == ":"
                && tokens[index + 2].text == "[" && tokens[index + 4].text == "]"
            return isList ? tokens[index].text : nil
        }
    }

    @Test func anUnorderedLoopIsFound() {
        let text = """
            var members: [String: Member] = [:]
            var names: Set<String> = []
            for (name, member) in members where member.isLost {}
            for name in self.names {}
            for value in other.values {}
            for name in members.keys.sorted() {}
            for (name, _) in members.sorted(by: { $0.key < $1.key }) {}
            for index in 0..<members.count {}
            let opening: (members: [Member], round: Int)
            for member in opening.members {}
            """
        let found = Self.unordered(in: [SourceText("Sources/LocalSGD/A.swift", text)])
        #expect(found.map(\.line) == [3, 4, 5])
    }
}
