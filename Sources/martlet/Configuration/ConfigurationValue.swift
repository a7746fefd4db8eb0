import Yams

/// A value as it was written, before its key says what it should be.
struct ConfigurationValue: Sendable {
    enum Content: Sendable {
        case scalar(String)
        case list([ConfigurationValue])
        /// Keys in the order of the file.
        case mapping([(key: String, place: ConfigurationPlace, value: ConfigurationValue)])
    }

    let content: Content
    let place: ConfigurationPlace

    /// The value in a message: short, on one line.
    var shown: String {
        switch content {
        case .scalar(""): return "nothing"
        case .scalar(let text):
            let line = text.split(whereSeparator: \.isNewline).joined(separator: " ")
            return "\"\(line.count > 60 ? line.prefix(57) + "..." : line)\""
        case .list(let items): return "a list of \(items.count)"
        case .mapping(let pairs):
            return "a group of keys (\(pairs.map(\.key).joined(separator: ", ")))"
        }
    }

    var scalar: String? {
        guard case .scalar(let text) = content else { return nil }
        return text
    }
}

extension ConfigurationValue {
    /// Bytes of a configuration file, at most.
    static let fileBytesMax = 1 << 20

    /// Parses YAML.
    ///
    /// - Parameter place: makes a place of a line and a column, both counted from 1.
    /// - Returns: nil if there is nothing but white space and comments.
    init?(
        yaml: String, place: (_ line: Int, _ column: Int) -> ConfigurationPlace
    ) throws(ConfigurationError) {
        let root: Node?
        do {
            root = try Yams.compose(yaml: yaml)
        } catch let error as YamlError {
            throw ConfigurationError(error, place: place)
        } catch {
            throw ConfigurationError(at: place(1, 1), "not YAML: \(error)")
        }
        guard let root else { return nil }
        try self.init(root, place: place)
    }

    private init(
        _ node: Node, place: (_ line: Int, _ column: Int) -> ConfigurationPlace
    ) throws(ConfigurationError) {
        let here = place(node.mark?.line ?? 1, node.mark?.column ?? 1)
        switch node {
        case .scalar(let scalar):
            let isNull =
                node.null != nil && scalar.style != .singleQuoted
                && scalar.style != .doubleQuoted
            self.init(content: .scalar(isNull ? "" : scalar.string), place: here)
        case .sequence(let items):
            var values: [ConfigurationValue] = []
            for item in items { values.append(try ConfigurationValue(item, place: place)) }
            self.init(content: .list(values), place: here)
        case .mapping(let mapping):
            var pairs: [(key: String, place: ConfigurationPlace, value: ConfigurationValue)] = []
            for (key, value) in mapping {
                let keyPlace = place(key.mark?.line ?? 1, key.mark?.column ?? 1)
                guard let name = key.scalar?.string else {
                    throw ConfigurationError(at: keyPlace, "a key must be a plain word")
                }
                pairs.append((name, keyPlace, try ConfigurationValue(value, place: place)))
            }
            self.init(content: .mapping(pairs), place: here)
        case .alias:
            throw ConfigurationError(at: here, "YAML aliases are not used here; write the value")
        }
    }
}

extension ConfigurationError {
    fileprivate init(_ error: YamlError, place: (Int, Int) -> ConfigurationPlace) {
        switch error {
        case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _),
            .composer(_, let problem, let mark, _):
            self.init(at: place(mark.line, mark.column), "not YAML: \(problem)")
        case .duplicatedKeysInMapping(let duplicates, let context):
            let names = duplicates.joined(separator: ", ")
            self.init(at: place(context.mark.line, context.mark.column), "given twice: \(names)")
        default:
            self.init(at: place(1, 1), "not YAML: \(String(describing: error).prefix(100))")
        }
    }
}
