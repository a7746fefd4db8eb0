extension JSON {
    /// The document as UTF-8.
    ///
    /// Indented it is for people too, one member a line, and ends with a line feed; else it holds
    /// no white space.
    package func encoded(indented: Bool = false) -> [UInt8] {
        var bytes: [UInt8] = []
        append(to: &bytes, depth: indented ? 0 : nil)
        if indented { bytes.append(UInt8(ascii: "\n")) }
        return bytes
    }

    private func append(to bytes: inout [UInt8], depth: Int?) {
        switch self {
        case .null: bytes.append(contentsOf: "null".utf8)
        case .bool(let value): bytes.append(contentsOf: (value ? "true" : "false").utf8)
        case .integer(let value): bytes.append(contentsOf: String(value).utf8)
        case .number(let value):
            precondition(value.isFinite, "JSON has no \(value)")
            bytes.append(contentsOf: value.description.utf8)
        case .string(let value): JSON.append(value, to: &bytes)
        case .array(let values):
            JSON.append(values, between: ("[", "]"), to: &bytes, depth: depth) {
                $0.append(to: &$1, depth: $2)
            }
        case .object(let members):
            JSON.append(members, between: ("{", "}"), to: &bytes, depth: depth) {
                JSON.append($0.name, to: &$1)
                $1.append(contentsOf: (depth == nil ? ":" : ": ").utf8)
                $0.value.append(to: &$1, depth: $2)
            }
        }
    }

    private static func append<Element>(
        _ elements: [Element], between brackets: (String, String), to bytes: inout [UInt8],
        depth: Int?, _ appendElement: (Element, inout [UInt8], Int?) -> Void
    ) {
        let inner = depth.map { $0 + 1 }
        bytes.append(contentsOf: brackets.0.utf8)
        for (index, element) in elements.enumerated() {
            if index > 0 { bytes.append(UInt8(ascii: ",")) }
            appendLineBreak(to: &bytes, depth: inner)
            appendElement(element, &bytes, inner)
        }
        if !elements.isEmpty { appendLineBreak(to: &bytes, depth: depth) }
        bytes.append(contentsOf: brackets.1.utf8)
    }

    private static func appendLineBreak(to bytes: inout [UInt8], depth: Int?) {
        guard let depth else { return }
        bytes.append(UInt8(ascii: "\n"))
        bytes.append(contentsOf: repeatElement(UInt8(ascii: " "), count: 2 * depth))
    }

    private static func append(_ string: String, to bytes: inout [UInt8]) {
        bytes.append(UInt8(ascii: "\""))
        for byte in string.utf8 {
            switch byte {
            case UInt8(ascii: "\""): bytes.append(contentsOf: #"\""#.utf8)
            case UInt8(ascii: "\\"): bytes.append(contentsOf: #"\\"#.utf8)
            case 0..<0x20:
                let digits = String(byte, radix: 16)
                bytes.append(contentsOf: (digits.count == 1 ? #"\u000"# : #"\u00"#).utf8)
                bytes.append(contentsOf: digits.utf8)
            default: bytes.append(byte)
            }
        }
        bytes.append(UInt8(ascii: "\""))
    }
}
