package import Tensors

/// The parameters of a module that an update is about: all but those of experts that saw no token,
/// and those that the run does not train, which have learnt nothing and are not sent.
///
/// Both sides take it from the run's settings and the header of a push, so that no payload says
/// which they are.
package struct TouchedRanges: Sendable, Equatable {
    /// Ascending, and no two of them meet.
    package let ranges: [Range<Int>]
    /// Parameters of the module, and how many of them are touched.
    package let total: Int
    package let count: Int

    /// Of an update of a module that is cut into `parts`, whose experts saw these tokens, in a run
    /// that trains what `training` says; tokens that are missing count as none.
    ///
    /// A gradient of the warm-up is one of all tokens, and about all parameters. So is an update of
    /// a module of which nothing is trained, as none is about nothing.
    package init(
        _ parts: PartLayout, kind: RoundKind, expertTokens: [Int],
        training: MaskSettings.Training = .all
    ) {
        let isPartial = kind == .local && parts.pieces.contains { training.trains($0.part) }
        var ranges: [Range<Int>] = []
        for piece in parts.pieces where !piece.range.isEmpty {
            if isPartial, !training.trains(piece.part) { continue }
            if kind == .local, let expert = piece.part.expert,
                expert >= expertTokens.count || expertTokens[expert] <= 0
            {
                continue
            }
            if let last = ranges.last, last.upperBound == piece.range.lowerBound {
                ranges[ranges.count - 1] = last.lowerBound..<piece.range.upperBound
            } else {
                ranges.append(piece.range)
            }
        }
        self.ranges = ranges
        total = parts.pieces.last?.range.upperBound ?? 0
        count = ranges.reduce(0) { $0 + $1.count }
    }

    /// All of a module of `count` parameters.
    package init(all count: Int) {
        self.init(PartLayout(dense: count), kind: .warmup, expertTokens: [])
    }

    package var isWhole: Bool { count == total }

    /// The touched ones of `values` [total], one range behind the other, [count]; `values` itself
    /// where that is all of them.
    package func gathered(_ values: FloatBuffer) -> FloatBuffer {
        precondition(values.count == total, "\(values.count) numbers of a module of \(total)")
        guard !isWhole else { return values }
        let touched = FloatBuffer(count: count)
        eachRange { range, place in touched[place].copy(from: values[range]) }
        return touched
    }

    /// Puts `touched` [count] to their places in `values` [total].
    package func scatter(_ touched: FloatBuffer, to values: FloatBuffer) {
        precondition(values.count == total, "\(values.count) numbers of a module of \(total)")
        eachRange { range, place in values[range].copy(from: touched[place]) }
    }

    /// Adds `touched` [count] to those at their places in `sum` [total].
    package func add(_ touched: DoubleBuffer, to sum: DoubleBuffer) {
        precondition(sum.count == total, "\(sum.count) numbers of a module of \(total)")
        eachRange { range, place in sum[range].add(touched[place], weight: 1) }
    }

    private func eachRange(_ body: (_ range: Range<Int>, _ place: Range<Int>) -> Void) {
        var first = 0
        for range in ranges {
            body(range, first..<first + range.count)
            first += range.count
        }
    }
}
