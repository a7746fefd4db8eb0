import Testing

/// Nothing is longer than a reader can hold: files, functions, lines.
@Suite struct LimitTests {
    static let fileLinesMax = 400
    static let functionLinesMax = 70
    static let columnsMax = 100

    @Test func filesAreOneSitting() { expectNone(Package.code.flatMap(Self.size)) }

    @Test func functionsAreOneScreen() { expectNone(Package.code.flatMap(Self.functions)) }

    @Test func linesFitThePage() { expectNone(Package.code.flatMap(Self.columns)) }

    @Test func filesEndInOneNewlineAndHaveNoTabs() {
        expectNone(Package.code.flatMap(Self.whitespace))
    }

    // MARK: The rules

    static func size(of file: SourceText) -> [Finding] {
        let count = file.lines.count - 1
        guard count > fileLinesMax else { return [] }
        return [Finding(file, nil, "\(count) lines; split it below \(fileLinesMax)")]
    }

    static func columns(of file: SourceText) -> [Finding] {
        file.lines.enumerated().compactMap { index, line in
            guard line.count > columnsMax, !line.contains("://") else { return nil }
            return Finding(file, index + 1, "\(line.count) columns; wrap at \(columnsMax)")
        }
    }

    static func whitespace(of file: SourceText) -> [Finding] {
        var findings: [Finding] = []
        for (index, line) in file.lines.enumerated() where line.contains("\t") {
            findings.append(Finding(file, index + 1, "a tab; indent with spaces"))
        }
        if !file.text.hasSuffix("\n") || file.text.hasSuffix("\n\n") {
            findings.append(Finding(file, nil, "must end in exactly one newline"))
        }
        return findings
    }

    /// By indentation, which the formatter vouches for: a function ends where a line that starts
    /// like its first one closes it.
    static func functions(of file: SourceText) -> [Finding] {
        let lines = file.lines
        return lines.indices.compactMap { start in
            guard opensFunction(lines[start], in: file) else { return nil }
            let indentation = lines[start].prefix { $0 == " " }.count
            for end in lines.indices.dropFirst(start + 1) {
                let rest = lines[end].drop { $0 == " " }
                let depth = lines[end].count - rest.count
                if rest.isEmpty || rest.first == "#" || depth > indentation { continue }
                guard depth == indentation, let first = rest.first else { return nil }
                if first == "}" {
                    let count = end - start + 1
                    guard count > functionLinesMax else { return nil }
                    return Finding(
                        file, start + 1,
                        "a function of \(count) lines; split it below \(functionLinesMax)")
                }
                // The rest of a signature: `) -> Int {`, `-> Int {`, `where ...`, `{`.
                if first == ")" || first == "-" || first == "{" || rest.hasPrefix("where ") {
                    continue
                }
                return nil
            }
            return nil
        }
    }

    private static func opensFunction(_ line: Substring, in file: SourceText) -> Bool {
        guard file.path.hasSuffix(".swift") else {
            // In C: a definition begins in the first column and is no macro.
            guard let first = line.first else { return false }
            return first.isLetter && line.contains("(") && !line.hasSuffix(";")
        }
        let words = line.split { $0 == " " || $0 == "(" || $0 == "<" || $0 == "?" }
        guard
            let keyword = words.first(where: {
                !modifiers.contains($0) && $0.first != "@" && $0.last != ")"
            })
        else { return false }
        if keyword == "var" || keyword == "let" { return line.hasSuffix("{") }
        return ["func", "init", "deinit", "subscript"].contains(keyword)
    }

    private static let modifiers: Set<Substring> = [
        "package", "private", "fileprivate", "internal", "public", "static", "class", "final",
        "override", "mutating", "nonmutating", "nonisolated", "distributed", "convenience",
        "required", "borrowing", "consuming", "indirect", "lazy", "isolated",
    ]

    // MARK: The rules can fail

    @Test func whatIsTooLongIsFound() {
        let long = String(repeating: "x\n", count: Self.fileLinesMax + 1)
        #expect(Self.size(of: SourceText("a.swift", long)).count == 1)
        let wide = String(repeating: "x", count: Self.columnsMax + 1) + "\n\tx"
        #expect(Self.columns(of: SourceText("a.swift", wide)).map(\.line) == [1])
        #expect(Self.whitespace(of: SourceText("a.c", wide)).map(\.line) == [2, nil])
    }

    @Test(arguments: [
        ("a.swift", "    package func f(", "    ) -> Int {", "    }"),
        ("a.swift", "@inline(never) private init?<T>() {", "  x", "}"),
        ("a.swift", "    var f: Int {", "        x", "    }"),
        ("a.c", "static int f(int a,", "             int b) {", "}"),
    ])
    func aLongFunctionIsFound(_ path: String, _ first: String, _ second: String, _ last: String) {
        let indentation = String(first.prefix { $0 == " " }) + "    "
        func text(_ lines: Int) -> String {
            let body = [String](repeating: indentation + "x", count: lines - 3)
            return (["// before", first, second] + body + [last, "x"]).joined(separator: "\n")
        }
        let fits = SourceText(path, text(Self.functionLinesMax))
        #expect(Self.functions(of: fits).isEmpty)
        let isLong = SourceText(path, text(Self.functionLinesMax + 1))
        #expect(Self.functions(of: isLong).map(\.line) == [2])
    }
}
