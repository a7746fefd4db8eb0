/// One way of cutting text into the pieces that are encoded on their own.
enum SplitStep: Sendable {
    /// What becomes of the matches of a pattern and the gaps between them.
    enum Behavior: String, Sendable, CaseIterable {
        case removed = "Removed"
        case isolated = "Isolated"
        case mergedWithPrevious = "MergedWithPrevious"
        case mergedWithNext = "MergedWithNext"
        case contiguous = "Contiguous"
    }

    /// When the stand-in for a space is put in front.
    enum PrefixScheme: String, Sendable, CaseIterable {
        case always, first, never
    }

    /// Cuts at the matches of a pattern, or with `isInverted` at what lies between them.
    case pattern(Pattern, Behavior, isInverted: Bool)
    /// Puts a space in front of a piece that begins with none.
    case spacePrefix
    /// Writes spaces as `replacement`, puts one in front, and if `cuts` cuts before each.
    case metaspace(replacement: [UInt8], scheme: PrefixScheme, cuts: Pattern?)
}

/// What lies between and in the matches of a pattern.
struct Segment: Equatable {
    var range: Range<Int>
    var isMatch: Bool
}

extension SplitStep.Behavior {
    /// The pieces that `segments`, which follow one upon another, make together.
    func pieces(of segments: [Segment]) -> [Range<Int>] {
        switch self {
        case .removed: segments.filter { !$0.isMatch }.map(\.range)
        case .isolated: segments.map(\.range)
        case .mergedWithPrevious:
            Self.merged(segments) { $0.isMatch && !($1?.isMatch ?? false) }
        case .mergedWithNext:
            Self.merged(segments.reversed()) { $0.isMatch && !($1?.isMatch ?? false) }.reversed()
        case .contiguous: Self.merged(segments) { $0.isMatch == $1?.isMatch }
        }
    }

    /// Joins each segment to the piece before where `joins`, given it and the segment before.
    private static func merged(
        _ segments: [Segment], _ joins: (Segment, Segment?) -> Bool
    ) -> [Range<Int>] {
        var pieces: [Range<Int>] = []
        var previous: Segment?
        for segment in segments {
            if joins(segment, previous), let last = pieces.popLast() {
                pieces.append(
                    min(
                        last.lowerBound, segment.range.lowerBound)..<max(
                            last.upperBound, segment.range.upperBound))
            } else {
                pieces.append(segment.range)
            }
            previous = segment
        }
        return pieces
    }
}

extension Pattern {
    /// GPT-2's own, which the byte-level splitter uses unless told otherwise.
    package static let gpt2 =
        #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#
    /// That of Qwen2 and what came after it.
    package static let qwen2 =
        #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"#
        + #" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
    /// That of Llama 3: up to three digits together.
    package static let llama3 =
        #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"#
        + #" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#

    /// The pattern that matches `text` alone.
    init(literal text: String) throws(PatternError) {
        var nodes: [PatternNode] = []
        for scalar in text.unicodeScalars {
            var set = ScalarSet()
            set.insert(scalar)
            nodes.append(.set(set))
        }
        try self.init(source: text, node: .sequence(nodes))
    }

    /// The pattern of one number, or, not `individually`, of several in a row.
    ///
    /// Here numbers are those of the newest Unicode, as they are to the library.
    static func digits(individually: Bool) throws(PatternError) -> Pattern {
        var set = ScalarSet()
        set.insert { $0.isOne(of: ScalarKind.numbers + [.laterNumber]) }
        let node =
            individually
            ? PatternNode.set(set)
            : .repetition(.set(set), count: 1...PatternNode.unbounded, isPossessive: true)
        return try Pattern(source: "digits", node: node)
    }
}
