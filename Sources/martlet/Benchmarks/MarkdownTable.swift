/// A table of a page.
enum MarkdownTable {
    /// Its lines; every row has as many cells as `header`.
    static func lines(_ header: [String], _ rows: [[String]]) -> [String] {
        ([header, header.map { _ in "---" }] + rows).map {
            "| " + $0.joined(separator: " | ") + " |"
        }
    }
}
