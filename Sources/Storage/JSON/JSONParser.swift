/// What is wrong with a JSON document, and where.
package struct JSONSyntaxError: Error, Sendable, Equatable, CustomStringConvertible {
    package let offset: Int
    package let problem: String

    package var description: String { "\(problem) at byte \(offset)" }
}

extension JSON {
    /// Deepest nesting of arrays and objects that is read; ours and Hugging Face's nest below ten.
    package static let depthMax = 64
    /// Most values in a document: a header of a million tensors has 8 million.
    ///
    /// A value takes many times the two bytes that may stand for it.
    package static let valuesMax = 1 << 24

    /// Reads the one document in `bytes`, strictly by RFC 8259.
    package init(
        parsing bytes: [UInt8], valuesMax: Int = valuesMax
    ) throws(JSONSyntaxError) {
        var parser = JSONParser(bytes: bytes, valuesMax: valuesMax)
        self = try parser.parseDocument()
    }
}

/// Recursive descent over the bytes; no byte is read twice, save of numbers.
private struct JSONParser {
    let bytes: [UInt8]
    let valuesMax: Int
    var position = 0
    /// Values begun so far.
    var valueCount = 0

    init(bytes: [UInt8], valuesMax: Int) {
        self.bytes = bytes
        self.valuesMax = valuesMax
    }

    mutating func parseDocument() throws(JSONSyntaxError) -> JSON {
        let value = try parseValue(depth: 0)
        skipSpace()
        guard position == bytes.count else { throw problem("something after the document") }
        return value
    }

    private func problem(_ text: String) -> JSONSyntaxError {
        JSONSyntaxError(offset: position, problem: text)
    }

    private var next: UInt8? { position < bytes.count ? bytes[position] : nil }

    private mutating func skipSpace() {
        while let byte = next, byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 {
            position += 1
        }
    }

    /// Steps over `byte` if it comes next.
    private mutating func take(_ byte: Unicode.Scalar) -> Bool {
        guard next == UInt8(ascii: byte) else { return false }
        position += 1
        return true
    }

    private mutating func parseValue(depth: Int) throws(JSONSyntaxError) -> JSON {
        guard depth < JSON.depthMax else { throw problem("nested deeper than \(JSON.depthMax)") }
        valueCount += 1
        guard valueCount <= valuesMax else { throw problem("more than \(valuesMax) values") }
        skipSpace()
        switch next {
        case UInt8(ascii: "{"): return try parseObject(depth: depth)
        case UInt8(ascii: "["): return try parseArray(depth: depth)
        case UInt8(ascii: "\""): return .string(try parseString())
        case UInt8(ascii: "t"): return try parse("true", as: .bool(true))
        case UInt8(ascii: "f"): return try parse("false", as: .bool(false))
        case UInt8(ascii: "n"): return try parse("null", as: .null)
        case nil: throw problem("the document ends too early")
        default: return try parseNumber()
        }
    }

    private mutating func parse(
        _ word: StaticString, as value: JSON
    ) throws(JSONSyntaxError) -> JSON {
        for expected in word.description.utf8 {
            guard next == expected else { throw problem("neither true, false nor null") }
            position += 1
        }
        return value
    }

    private mutating func parseArray(depth: Int) throws(JSONSyntaxError) -> JSON {
        position += 1
        var values: [JSON] = []
        skipSpace()
        if take("]") { return .array(values) }
        repeat {
            values.append(try parseValue(depth: depth + 1))
            skipSpace()
        } while take(",")
        guard take("]") else { throw problem("no ',' or ']' in an array") }
        return .array(values)
    }

    private mutating func parseObject(depth: Int) throws(JSONSyntaxError) -> JSON {
        position += 1
        var members: [JSON.Member] = []
        // By their bytes: Swift compares strings up to canonical equivalence, JSON does not.
        var names: Set<[UInt8]> = []
        skipSpace()
        if take("}") { return .object(members) }
        repeat {
            skipSpace()
            guard next == UInt8(ascii: "\"") else { throw problem("no name in an object") }
            let name = try parseString()
            guard names.insert(Array(name.utf8)).inserted else {
                throw problem("\(name.quoted) a second time")
            }
            skipSpace()
            guard take(":") else { throw problem("no ':' after a name") }
            members.append(JSON.Member(name: name, value: try parseValue(depth: depth + 1)))
            skipSpace()
        } while take(",")
        guard take("}") else { throw problem("no ',' or '}' in an object") }
        return .object(members)
    }

    // MARK: Strings

    private mutating func parseString() throws(JSONSyntaxError) -> String {
        let start = position
        position += 1
        var text: [UInt8] = []
        while let byte = next {
            position += 1
            switch byte {
            case UInt8(ascii: "\""):
                guard let string = String(validating: text, as: UTF8.self) else {
                    position = start
                    throw problem("a string that is not UTF-8")
                }
                return string
            case UInt8(ascii: "\\"): try parseEscape(into: &text)
            case 0..<0x20: throw problem("a control character in a string")
            default: text.append(byte)
            }
        }
        throw problem("a string without end")
    }

    private mutating func parseEscape(into text: inout [UInt8]) throws(JSONSyntaxError) {
        guard let byte = next else { throw problem("a string without end") }
        position += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(byte)
        case UInt8(ascii: "b"): text.append(0x08)
        case UInt8(ascii: "f"): text.append(0x0c)
        case UInt8(ascii: "n"): text.append(0x0a)
        case UInt8(ascii: "r"): text.append(0x0d)
        case UInt8(ascii: "t"): text.append(0x09)
        case UInt8(ascii: "u"):
            let scalar = try parseScalar()
            text.append(contentsOf: String(Character(scalar)).utf8)
        default: throw problem("an unknown escape in a string")
        }
    }

    /// The scalar of one `\u` and its digits, or of two that make a surrogate pair; the first `\u`
    /// is behind us.
    private mutating func parseScalar() throws(JSONSyntaxError) -> Unicode.Scalar {
        let high = try parseFourHexDigits()
        if let scalar = Unicode.Scalar(high) { return scalar }
        guard high < 0xdc00, take("\\"), take("u") else { throw problem("half a surrogate pair") }
        let low = try parseFourHexDigits()
        guard (0xdc00...0xdfff).contains(low),
            let scalar = Unicode.Scalar(0x10000 + (high - 0xd800) << 10 + (low - 0xdc00))
        else { throw problem("half a surrogate pair") }
        return scalar
    }

    private mutating func parseFourHexDigits() throws(JSONSyntaxError) -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard let byte = next, let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
                throw problem("no four hexadecimal digits after \\u")
            }
            value = value << 4 | UInt32(digit)
            position += 1
        }
        return value
    }

    // MARK: Numbers

    private mutating func parseNumber() throws(JSONSyntaxError) -> JSON {
        let start = position
        _ = take("-")
        if !take("0") { try skipDigits() }
        var isInteger = true
        if take(".") {
            isInteger = false
            try skipDigits()
        }
        if take("e") || take("E") {
            isInteger = false
            if !take("-") { _ = take("+") }
            try skipDigits()
        }
        let text = String(decoding: bytes[start..<position], as: UTF8.self)
        // No integer has this sign.
        if isInteger, text != "-0", let value = Int(text) { return .integer(value) }
        guard let value = Double(text), value.isFinite else {
            position = start
            throw problem("a number that is too large")
        }
        return .number(value)
    }

    private mutating func skipDigits() throws(JSONSyntaxError) {
        let start = position
        while let byte = next, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) {
            position += 1
        }
        guard position > start else { throw problem("neither a value nor a digit") }
    }
}
