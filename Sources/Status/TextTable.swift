/// Columns of text.
///
/// Columns that do not fit are left out from the right, so the most important one comes first.
package struct TextTable {
    package enum Alignment: Sendable { case left, right }

    private let columns: [(title: String, alignment: Alignment)]
    private var rows: [[String]] = []

    package init(_ columns: [(title: String, alignment: Alignment)]) {
        self.columns = columns
    }

    package mutating func add(_ cells: [String]) {
        precondition(cells.count == columns.count, "a row has as many cells as the table columns")
        rows.append(cells)
    }

    /// Lines of at most `width` letters, without blanks at the end.
    package func lines(width: Int) -> [String] {
        let all = [columns.map(\.title)] + rows
        var widths: [Int] = []
        var total = 0
        for index in columns.indices {
            let needed = all.map { $0[index].count }.max() ?? 0
            total += needed + (index == 0 ? 0 : 2)
            if total > width, index > 0 { break }
            widths.append(needed)
        }
        return all.map { cells in
            let line = widths.enumerated().map { index, width in
                padded(cells[index], to: width, columns[index].alignment)
            }.joined(separator: "  ")
            return String(line.trimmingSuffix(" ").prefix(width))
        }
    }

    private func padded(_ text: String, to width: Int, _ alignment: Alignment) -> String {
        let blanks = String(repeating: " ", count: max(0, width - text.count))
        return alignment == .left ? text + blanks : blanks + text
    }
}

extension String {
    func trimmingSuffix(_ letter: Character) -> Substring {
        var end = endIndex
        while end > startIndex, self[index(before: end)] == letter { end = index(before: end) }
        return self[..<end]
    }
}
