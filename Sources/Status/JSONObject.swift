/// Writes one JSON object, fields in the order in which they are added.
///
/// SwiftProtobuf's own encoder leaves zeros out; a reader of a status wants `"round": 0`.
struct JSONObject {
    private(set) var text = ""

    var closed: String { "{\(text)}" }

    mutating func add(_ name: String, _ value: String) { put(name, jsonString(value)) }
    mutating func add(_ name: String, _ value: UInt64) { put(name, String(value)) }

    /// JSON has no infinities and no NaN: they count as not known and are left out.
    mutating func add(_ name: String, _ value: Double?) {
        guard let value, value.isFinite else { return }
        put(name, value == value.rounded() && abs(value) < 1e15 ? "\(Int(value))" : "\(value)")
    }

    mutating func add(_ name: String, _ value: UInt64?) {
        if let value { put(name, String(value)) }
    }

    mutating func add(_ name: String, _ object: JSONObject?) {
        if let object { put(name, object.closed) }
    }

    mutating func add(_ name: String, _ objects: [JSONObject]) {
        put(name, "[" + objects.map(\.closed).joined(separator: ",") + "]")
    }

    private mutating func put(_ name: String, _ value: String) {
        if !text.isEmpty { text += "," }
        text += "\"\(name)\":\(value)"
    }
}

/// `text` as a JSON string, quotes included.
package func jsonString(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
        switch scalar {
        case "\"": result += "\\\""
        case "\\": result += "\\\\"
        case "\n": result += "\\n"
        case "\r": result += "\\r"
        case "\t": result += "\\t"
        case _ where scalar.value < 32 || scalar.value == 127:
            let digits = String(scalar.value, radix: 16)
            result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
        default: result.unicodeScalars.append(scalar)
        }
    }
    return result + "\""
}
