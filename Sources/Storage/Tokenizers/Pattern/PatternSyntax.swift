/// A pattern as a tree.
indirect enum PatternNode {
    /// One scalar.
    case set(ScalarSet)
    case sequence([PatternNode])
    /// The first that leads to a match, in this order.
    case choice([PatternNode])
    /// As often as possible; `isPossessive` gives nothing back.
    case repetition(PatternNode, count: ClosedRange<Int>, isPossessive: Bool)
    /// Whether a scalar of the set comes next, or with `isNegative` none does.
    case lookahead(ScalarSet, isNegative: Bool)
    /// The end of the text, or a line feed comes next.
    case lineEnd

    /// Stands for no upper bound.
    static let unbounded = Int.max

    /// Whether it may match without taking anything.
    var mayBeEmpty: Bool {
        switch self {
        case .set: false
        case .sequence(let nodes): nodes.allSatisfy(\.mayBeEmpty)
        case .choice(let nodes): nodes.contains(where: \.mayBeEmpty)
        case .repetition(let node, let count, _): count.lowerBound == 0 || node.mayBeEmpty
        case .lookahead, .lineEnd: true
        }
    }

    /// The bytes with which a match may begin; all of them where it may be empty.
    var firstBytes: ByteSet {
        switch self {
        case _ where mayBeEmpty: return .all
        case .set(let set): return set.firstBytes
        case .repetition(let node, _, _): return node.firstBytes
        case .choice(let nodes):
            return nodes.reduce(into: ByteSet()) { $0.formUnion($1.firstBytes) }
        case .sequence(let nodes):
            var bytes = ByteSet()
            for node in nodes {
                bytes.formUnion(node.isAssertion ? ByteSet() : node.consumedFirstBytes)
                if !node.mayBeEmpty { break }
            }
            return bytes
        case .lookahead, .lineEnd: return .all
        }
    }

    private var isAssertion: Bool {
        switch self {
        case .lookahead, .lineEnd: true
        default: false
        }
    }

    /// The bytes with which it may begin if it takes anything.
    private var consumedFirstBytes: ByteSet {
        if case .repetition(let node, _, _) = self { return node.firstBytes }
        return firstBytes
    }
}

/// What is wrong with a pattern, or not read here.
struct PatternError: Error, Equatable, CustomStringConvertible {
    let problem: String
    /// Scalars before the place.
    let offset: Int

    var description: String { "\(problem) at character \(offset)" }
}

/// Reads the part of Oniguruma's syntax that split patterns are written in; what it does not know,
/// it refuses by name.
struct PatternParser {
    /// Longest pattern, in scalars; the longest in use has about 1,500.
    static let scalarsMax = 20_000
    /// Deepest nesting of groups.
    static let depthMax = 32
    /// Largest count in braces.
    static let countMax = 1_000

    let scalars: [Unicode.Scalar]
    var position = 0
    /// Whether letters stand for their other case too.
    var ignoresCase = false

    /// The tree of `pattern`.
    static func parse(_ pattern: String) throws(PatternError) -> PatternNode {
        var parser = PatternParser(scalars: Array(pattern.unicodeScalars))
        guard parser.scalars.count <= scalarsMax else {
            throw PatternError(problem: "more than \(scalarsMax) characters", offset: 0)
        }
        let node = try parser.parseChoice(depth: 0)
        guard parser.next == nil else { throw parser.problem("a \")\" without its \"(\"") }
        return node
    }

    private init(scalars: [Unicode.Scalar]) { self.scalars = scalars }

    func problem(_ text: String) -> PatternError { PatternError(problem: text, offset: position) }

    var next: Unicode.Scalar? { position < scalars.count ? scalars[position] : nil }

    /// Steps over `text` if it comes next.
    mutating func take(_ text: String) -> Bool {
        guard scalars[position...].starts(with: text.unicodeScalars) else { return false }
        position += text.unicodeScalars.count
        return true
    }

    private mutating func parseChoice(depth: Int) throws(PatternError) -> PatternNode {
        guard depth < Self.depthMax else { throw problem("groups nested too deep") }
        var nodes: [PatternNode] = []
        repeat { nodes.append(try parseSequence(depth: depth)) } while take("|")
        return nodes.count == 1 ? nodes[0] : .choice(nodes)
    }

    private mutating func parseSequence(depth: Int) throws(PatternError) -> PatternNode {
        var nodes: [PatternNode] = []
        var lastLetter: Unicode.Scalar?
        while let scalar = next, scalar != "|", scalar != ")" {
            try refuseFolded(pair: lastLetter, scalar)
            lastLetter = scalar
            nodes.append(try parseRepetition(of: try parseAtom(depth: depth)))
        }
        return nodes.count == 1 ? nodes[0] : .sequence(nodes)
    }

    /// Two letters that one scalar beyond ASCII folds to, as "ß" does to "ss".
    private func refuseFolded(
        pair first: Unicode.Scalar?, _ second: Unicode.Scalar
    ) throws(PatternError) {
        guard ignoresCase, let first else { return }
        let pair = "\(first)\(second)".lowercased()
        guard !["ss", "st", "ff", "fi", "fl"].contains(pair) else {
            throw problem("\"\(pair)\" in either case")
        }
    }

    private mutating func parseAtom(depth: Int) throws(PatternError) -> PatternNode {
        guard let scalar = next else { throw problem("an early end") }
        switch scalar {
        case "(": return try parseGroup(depth: depth)
        case "[": return .set(try parseClass())
        case "\\": return .set(try parseEscape(inClass: false))
        case "$":
            position += 1
            return .lineEnd
        case ".", "^", "*", "+", "?", "{":
            throw problem("\"\(scalar)\"")
        default:
            position += 1
            return .set(try set(of: scalar))
        }
    }

    private mutating func parseGroup(depth: Int) throws(PatternError) -> PatternNode {
        let outer = ignoresCase
        defer { ignoresCase = outer }
        for (mark, isNegative) in [("(?!", true), ("(?=", false)] where take(mark) {
            let node = try parseChoice(depth: depth + 1)
            guard case .set(let set) = node else {
                throw problem("a lookahead of more than one class")
            }
            guard take(")") else { throw problem("a \"(\" without its \")\"") }
            return .lookahead(set, isNegative: isNegative)
        }
        if take("(?i:") {
            ignoresCase = true
        } else if !take("(?:") {
            _ = take("(")
            // Nothing asks for what a group captured.
            if next == "?" { throw problem("a group that begins with \"(?\"") }
        }
        let node = try parseChoice(depth: depth + 1)
        guard take(")") else { throw problem("a \"(\" without its \")\"") }
        return node
    }

    private mutating func parseRepetition(
        of node: PatternNode
    ) throws(PatternError) -> PatternNode {
        let count: ClosedRange<Int>
        var allowsPossessive = true
        if take("?") {
            count = 0...1
        } else if take("*") {
            count = 0...PatternNode.unbounded
        } else if take("+") {
            count = 1...PatternNode.unbounded
        } else if next == "{" {
            count = try parseCount()
            allowsPossessive = false
        } else {
            return node
        }
        guard !node.mayBeEmpty else { throw problem("a repetition of what may be empty") }
        if next == "?" { throw problem("a lazy repetition") }
        let isPossessive = allowsPossessive && take("+")
        if isPossessive {
            guard case .set = node else { throw problem("a possessive repetition of a group") }
        }
        if let next, "*+{".unicodeScalars.contains(next) {
            throw problem("a repetition of a repetition")
        }
        return .repetition(node, count: count, isPossessive: isPossessive)
    }

    private mutating func parseCount() throws(PatternError) -> ClosedRange<Int> {
        _ = take("{")
        guard let lower = parseNumber() else { throw problem("\"{\" without a count") }
        var upper = lower
        if take(",") { upper = next == "}" ? PatternNode.unbounded : parseNumber() ?? -1 }
        guard take("}"), upper >= lower, upper > 0, lower <= Self.countMax,
            upper <= Self.countMax || upper == PatternNode.unbounded
        else { throw problem("a count that is not {m}, {m,} or {m,n} up to \(Self.countMax)") }
        return lower...upper
    }

    private mutating func parseNumber() -> Int? {
        var digits = ""
        while let scalar = next, ("0"..."9").contains(scalar), digits.utf8.count < 9 {
            digits.unicodeScalars.append(scalar)
            position += 1
        }
        return Int(digits)
    }
}
