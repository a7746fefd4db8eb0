/// One key of the configuration: all that parsing, validation and documentation need to know.
struct ConfigurationKey: Sendable {
    /// Path with dots, as it is written after `--set`.
    let name: String
    /// What values are allowed, to follow "allowed is".
    let allowed: String
    /// One sentence that says what the key does.
    let summary: String
    /// Whether text from a flag or the environment may be a list in YAML's `[a, b]` notation.
    let acceptsList: Bool
    /// Puts a value into a configuration.
    ///
    /// Returns false if the value is not allowed.
    let assign: @Sendable (inout RunConfiguration, ConfigurationValue) -> Bool
    /// The value of a configuration, as YAML on one line.
    let yaml: @Sendable (RunConfiguration) -> String

    /// `MARTLET_` and the name in capitals, dots as underscores.
    var environmentVariable: String {
        "MARTLET_" + name.uppercased().replacing(".", with: "_")
    }
}

/// A range of numbers in which zero may be excluded.
struct Bounds: Sendable {
    let lowest: Double
    let highest: Double
    let excludesLowest: Bool

    static func from(_ lowest: Double, to highest: Double) -> Bounds {
        Bounds(lowest: lowest, highest: highest, excludesLowest: false)
    }

    static func above(_ lowest: Double, to highest: Double) -> Bounds {
        Bounds(lowest: lowest, highest: highest, excludesLowest: true)
    }

    func contains(_ value: Double) -> Bool {
        value <= highest && (excludesLowest ? value > lowest : value >= lowest)
    }

    var allowed: String {
        let low = plain(lowest)
        let high = plain(highest)
        return excludesLowest
            ? "a number above \(low) and up to \(high)" : "a number from \(low) to \(high)"
    }
}

/// A number without a trailing ".0".
func plain(_ value: Double) -> String {
    value == value.rounded() && abs(value) < 1e15 ? String(Int(value)) : "\(value)"
}

typealias ConfigurationPath<Value> = any WritableKeyPath<RunConfiguration, Value> & Sendable

extension ConfigurationKey {
    static func integer(
        _ name: String, _ path: ConfigurationPath<Int>, _ range: ClosedRange<Int>,
        _ summary: String
    ) -> ConfigurationKey {
        scalar(
            name, path, "a whole number from \(range.lowerBound) to \(range.upperBound)", summary,
            parse: { Int($0).flatMap { range.contains($0) ? $0 : nil } }, yaml: { "\($0)" })
    }

    static func number(
        _ name: String, _ path: ConfigurationPath<Double>, _ bounds: Bounds, _ summary: String
    ) -> ConfigurationKey {
        scalar(
            name, path, bounds.allowed, summary,
            parse: { Double($0).flatMap { bounds.contains($0) ? $0 : nil } }, yaml: plain)
    }

    static func seed(
        _ name: String, _ path: ConfigurationPath<UInt64>, _ summary: String
    ) -> ConfigurationKey {
        scalar(
            name, path, "a whole number from 0 to \(UInt64.max)", summary,
            parse: { UInt64($0) }, yaml: { "\($0)" })
    }

    static func toggle(
        _ name: String, _ path: ConfigurationPath<Bool>, _ summary: String
    ) -> ConfigurationKey {
        scalar(
            name, path, "true or false", summary, parse: { Bool($0) }, yaml: { "\($0)" })
    }

    static func choice<Value: RawRepresentable & CaseIterable & Sendable>(
        _ name: String, _ path: ConfigurationPath<Value>, _ summary: String
    ) -> ConfigurationKey where Value.RawValue == String {
        let names = Value.allCases.map(\.rawValue).joined(separator: " or ")
        return scalar(
            name, path, names, summary, parse: { Value(rawValue: $0) }, yaml: { $0.rawValue })
    }

    /// Text for which `isAllowed` holds.
    static func text(
        _ name: String, _ path: ConfigurationPath<String>, allowed: String, _ summary: String,
        isAllowed: @escaping @Sendable (String) -> Bool
    ) -> ConfigurationKey {
        scalar(
            name, path, allowed, summary, parse: { isAllowed($0) ? $0 : nil }, yaml: quoted)
    }

    /// One path or a list of them.
    static func paths(
        _ name: String, _ path: ConfigurationPath<[String]>, _ summary: String
    ) -> ConfigurationKey {
        ConfigurationKey(
            name: name, allowed: "a path or a list of paths", summary: summary, acceptsList: true,
            assign: { configuration, value in
                let items: [ConfigurationValue] =
                    if case .list(let items) = value.content { items } else { [value] }
                let texts = items.compactMap(\.scalar).filter { !$0.isEmpty }
                guard texts.count == items.count, !texts.isEmpty else { return false }
                configuration[keyPath: path] = texts
                return true
            },
            yaml: { "[" + $0[keyPath: path].map(quoted).joined(separator: ", ") + "]" })
    }

    private static func scalar<Value>(
        _ name: String, _ path: ConfigurationPath<Value>, _ allowed: String, _ summary: String,
        parse: @escaping @Sendable (String) -> Value?,
        yaml: @escaping @Sendable (Value) -> String
    ) -> ConfigurationKey {
        ConfigurationKey(
            name: name, allowed: allowed, summary: summary, acceptsList: false,
            assign: { configuration, value in
                guard let text = value.scalar, let parsed = parse(text) else { return false }
                configuration[keyPath: path] = parsed
                return true
            },
            yaml: { yaml($0[keyPath: path]) })
    }
}

/// Text as a double-quoted YAML scalar.
@Sendable func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
        switch scalar {
        case "\"": result += "\\\""
        case "\\": result += "\\\\"
        case "\n": result += "\\n"
        case "\t": result += "\\t"
        case _ where scalar.value < 32 || scalar.value == 127:
            let digits = String(scalar.value, radix: 16)
            result += "\\x" + (digits.count < 2 ? "0" : "") + digits
        default: result.unicodeScalars.append(scalar)
        }
    }
    return result + "\""
}
