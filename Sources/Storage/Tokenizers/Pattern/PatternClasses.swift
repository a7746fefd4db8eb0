/// Sets of scalars: classes in brackets, escapes, and letters in either case.
extension PatternParser {
    /// The set in brackets that begins here.
    mutating func parseClass() throws(PatternError) -> ScalarSet {
        _ = take("[")
        let isNegated = take("^")
        var set = ScalarSet()
        var isEmpty = true
        while let scalar = next, scalar != "]" || isEmpty {
            if scalar == "]" { throw problem("a class that begins with \"]\"") }
            try parseMember(into: &set)
            isEmpty = false
        }
        guard take("]") else { throw problem("a \"[\" without its \"]\"") }
        if isNegated { set.negate() }
        return set
    }

    private mutating func parseMember(into set: inout ScalarSet) throws(PatternError) {
        guard let first = next else { throw problem("a \"[\" without its \"]\"") }
        if first == "[" { throw problem("a class in a class") }
        if take("&&") { throw problem("an intersection of classes") }
        guard let lower = try parseSingle() else {
            // A class of its own, as \s is, can begin no range.
            let inner = try parseEscape(inClass: true)
            guard set.formUnion(inner) else { throw problem("two negated classes in one") }
            return
        }
        var upper = lower
        if next == "-", position + 1 < scalars.count, scalars[position + 1] != "]" {
            position += 1
            guard let end = try parseSingle(), end >= lower else { throw problem("a bad range") }
            upper = end
        }
        try insert(lower.value...upper.value, into: &set)
    }

    /// One scalar of a class, written as itself or escaped; nil before an escape for many.
    private mutating func parseSingle() throws(PatternError) -> Unicode.Scalar? {
        guard let scalar = next else { throw problem("a \"[\" without its \"]\"") }
        guard scalar == "\\" else {
            position += 1
            return scalar
        }
        return try parseSingleEscape()
    }

    /// The scalar that an escape stands for, stepped over; nil before an escape for many.
    private mutating func parseSingleEscape() throws(PatternError) -> Unicode.Scalar? {
        guard position + 1 < scalars.count else { throw problem("a \"\\\" at the end") }
        let letter = scalars[position + 1]
        let control: [Unicode.Scalar: Unicode.Scalar] = [
            "n": "\n", "r": "\r", "t": "\t", "f": "\u{c}", "v": "\u{b}", "a": "\u{7}",
            "e": "\u{1b}",
        ]
        if let scalar = control[letter] {
            position += 2
            return scalar
        }
        if letter == "u" || letter == "x" { return try parseHexadecimal(letter) }
        let isPunctuation = letter.isASCII && ScalarKind.isPrintedSign(letter)
        guard isPunctuation else { return nil }
        position += 2
        return letter
    }

    private mutating func parseHexadecimal(
        _ letter: Unicode.Scalar
    ) throws(PatternError) -> Unicode.Scalar {
        let braced = letter == "x" && position + 2 < scalars.count && scalars[position + 2] == "{"
        let start = position + (braced ? 3 : 2)
        let digits = scalars[min(start, scalars.count)...]
            .prefix(braced ? 8 : letter == "u" ? 4 : 2)
            .prefix { $0.isASCII && Character($0).isHexDigit }
        guard let value = UInt32(String(String.UnicodeScalarView(digits)), radix: 16),
            let scalar = Unicode.Scalar(value), braced || digits.count == (letter == "u" ? 4 : 2)
        else { throw problem("a bad \"\\\(letter)\"") }
        // Two digits mean a byte, which beyond ASCII is no scalar.
        guard braced || letter == "u" || value < 0x80 else { throw problem("a byte as \"\\x\"") }
        position = start + digits.count
        if braced, !take("}") { throw problem("a \"\\x{\" without its \"}\"") }
        return scalar
    }

    /// The set of the escape that begins here.
    mutating func parseEscape(inClass: Bool) throws(PatternError) -> ScalarSet {
        if let scalar = try parseSingleEscape() {
            var set = ScalarSet()
            try insert(scalar.value...scalar.value, into: &set)
            return set
        }
        var set = ScalarSet()
        let letter = scalars[position + 1]
        position += 2
        switch letter {
        case "s", "S": set.insert { $0.rawValue & ScalarKind.whitespaceBit != 0 }
        case "d", "D": set.insert { $0.isOne(of: [.nd]) }
        case "p", "P":
            let (categories, isNegated) = try parseProperty()
            set.insert { $0.isOne(of: categories) }
            if isNegated { set.negate() }
        default:
            position -= 2
            throw problem("\"\\\(letter)\"")
        }
        if ["S", "D", "P"].contains(letter) { set.negate() }
        return set
    }

    private mutating func parseProperty() throws(PatternError) -> ([ScalarKind.Category], Bool) {
        guard take("{") else { throw problem("a property without \"{\"") }
        let isNegated = take("^")
        let start = position
        position = scalars[start...].firstIndex(of: "}") ?? scalars.count
        let name = String(String.UnicodeScalarView(scalars[start..<position]))
        guard take("}"), let categories = ScalarKind.categories(named: name) else {
            throw problem("the property \"\(name)\"")
        }
        if ignoresCase, ["Lu", "Ll", "Lt"].contains(name) {
            throw problem("\"\(name)\" in either case")
        }
        return (categories, isNegated)
    }

    // MARK: Letters in either case

    /// The set of one literal scalar.
    func set(of scalar: Unicode.Scalar) throws(PatternError) -> ScalarSet {
        var set = ScalarSet()
        try insert(scalar.value...scalar.value, into: &set)
        return set
    }

    private func insert(
        _ range: ClosedRange<UInt32>, into set: inout ScalarSet
    ) throws(PatternError) {
        set.insert(range)
        guard ignoresCase else { return }
        guard range.upperBound < 0x80 else {
            throw problem("a character beyond ASCII in either case")
        }
        for value in range {
            let letter = value | 0x20
            guard (0x61...0x7a).contains(letter) else { continue }
            set.insert(letter...letter)
            set.insert(letter - 0x20...letter - 0x20)
            // Two scalars beyond ASCII fold to a letter of ASCII: long s and the Kelvin sign.
            if letter == 0x73 { set.insert("\u{17f}") }
            if letter == 0x6b { set.insert("\u{212a}") }
        }
    }
}

extension ScalarSet {
    /// Adds all of `other`; false where that can't be written, which only negated sets with more
    /// than kinds in them run into.
    mutating func formUnion(_ other: ScalarSet) -> Bool {
        guard !isNegated, other.ranges.isEmpty || !other.isNegated else { return false }
        let kindsOfOther = other.isNegated ? ~other.kinds : other.kinds
        insert { kindsOfOther >> UInt64($0.rawValue) & 1 != 0 }
        for value in UInt32(0)..<0x80 {
            let word = value < 64 ? other.ascii.low : other.ascii.high
            if word >> UInt64(value & 63) & 1 != 0 { insert(value...value) }
        }
        for range in other.ranges { insert(range) }
        return true
    }
}

extension ScalarKind {
    static func categories(named name: String) -> [Category]? {
        switch name {
        case "L": letters
        case "M": marks
        case "N": numbers
        case "P": punctuation
        case "S": symbols
        case "Z": separators
        case "C": others
        case "Cn": [.cn, .laterNumber]
        default:
            Category.allCases.first {
                let own = "\($0)"
                return $0 != .laterNumber
                    && name == own.prefix(1).uppercased() + own.dropFirst()
            }.map { [$0] }
        }
    }

    func isOne(of categories: [Category]) -> Bool {
        categories.contains { $0.rawValue == rawValue & ~Self.whitespaceBit }
    }

    /// Whether the ASCII `scalar` is printed and neither letter, digit nor space: after a
    /// backslash, such a sign stands for itself.
    static func isPrintedSign(_ scalar: Unicode.Scalar) -> Bool {
        ScalarKind(of: scalar).isOne(of: punctuation + symbols)
    }
}
