import FoundationEssentials

/// A configuration, and where each value of it comes from.
struct LoadedConfiguration: Sendable, Equatable {
    var configuration = RunConfiguration()
    /// By key; a key that is not here has its default.
    private(set) var places: [String: ConfigurationPlace] = [:]

    init() {}

    /// Reads a configuration: flags go before the environment, that before the file, that before
    /// the defaults.
    ///
    /// All of them are checked, also the ones that lose.
    ///
    /// - Parameters:
    ///   - file: the path to show and the text, if there is a file.
    ///   - environment: variables; those without `MARTLET_` are left alone.
    ///   - settings: values of `--set`, each `KEY=VALUE`.
    init(
        file: (path: String, yaml: String)?, environment: [String: String], settings: [String]
    ) throws(ConfigurationError) {
        if let file { try read(yaml: file.yaml, path: file.path) }
        for (variable, text) in environment.sorted(by: { $0.key < $1.key })
        where variable.hasPrefix("MARTLET_") && !Self.foreignVariables.contains(variable) {
            let place = ConfigurationPlace.environment(variable: variable)
            guard let key = Self.byVariable[variable] else {
                throw ConfigurationError(
                    unknownKey: variable, at: place, known: Self.byVariable.keys.sorted())
            }
            try assign(key, text: text, at: place)
        }
        try set(settings)
        try checkTogether()
    }

    /// Puts the values of `settings`, each `KEY=VALUE`, over whatever there is.
    mutating func set(_ settings: [String]) throws(ConfigurationError) {
        for setting in settings {
            let place = ConfigurationPlace.flag("--set \(setting)")
            guard let split = setting.firstIndex(of: "=") else {
                throw ConfigurationError(at: place, "expected KEY=VALUE")
            }
            let name = String(setting[..<split])
            guard let key = ConfigurationTable.byName[name] else { throw unknown(name, at: place) }
            try assign(key, text: String(setting[setting.index(after: split)...]), at: place)
        }
    }

    /// Variables of that prefix that are not keys.
    static let foreignVariables: Set<String> = ["MARTLET_ISA", "MARTLET_LOG"]

    private static let byVariable: [String: ConfigurationKey] = Dictionary(
        uniqueKeysWithValues: ConfigurationTable.keys.map { ($0.environmentVariable, $0) })

    /// Whether the value of `key` is not in use, because the model's folder has its own.
    func isOfFolder(_ key: ConfigurationKey) -> Bool {
        configuration.modelFolder != nil
            && ConfigurationTable.architecture.contains { $0.name == key.name }
    }

    /// The whole configuration as YAML, one key a line; reading it gives an equal configuration.
    ///
    /// Keys that must not be given are left out: they have their defaults.
    var yaml: String {
        ConfigurationTable.keys
            .filter { !($0.acceptsList && $0.yaml(configuration) == "[]") && !isOfFolder($0) }
            .map { "\($0.name): \($0.yaml(configuration))\n" }.joined()
    }

    /// Puts one value over whatever there is.
    mutating func assign(
        _ key: ConfigurationKey, text: String, at place: ConfigurationPlace
    ) throws(ConfigurationError) {
        var value = ConfigurationValue(content: .scalar(text), place: place)
        if key.acceptsList, text.hasPrefix("["),
            let list = try ConfigurationValue(yaml: text, place: { _, _ in place })
        {
            value = list
        }
        try assign(key, value, at: place)
    }

    private mutating func assign(
        _ key: ConfigurationKey, _ value: ConfigurationValue, at place: ConfigurationPlace
    ) throws(ConfigurationError) {
        guard key.assign(&configuration, value) else {
            throw ConfigurationError(
                key: key.name, found: value.shown, allowed: key.allowed, at: place)
        }
        places[key.name] = place
    }

    private mutating func read(yaml: String, path: String) throws(ConfigurationError) {
        let root = try ConfigurationValue(yaml: yaml) { .file(path: path, line: $0, column: $1) }
        guard let root else { return }
        guard case .mapping = root.content else {
            throw ConfigurationError(
                at: root.place, "expected keys with values, \(root.shown) found")
        }
        try walk(root, prefix: "")
    }

    private mutating func walk(
        _ group: ConfigurationValue, prefix: String
    ) throws(ConfigurationError) {
        guard case .mapping(let pairs) = group.content else {
            throw ConfigurationError(
                at: group.place,
                "\(prefix.dropLast()) is a group of keys, but \(group.shown) was found")
        }
        for pair in pairs {
            let name = prefix + pair.key
            if let key = ConfigurationTable.byName[name] {
                guard places[name] == nil else {
                    throw ConfigurationError(at: pair.place, "given twice: \(name)")
                }
                try assign(key, pair.value, at: pair.place)
            } else if ConfigurationTable.keys.contains(where: { $0.name.hasPrefix(name + ".") }) {
                if pair.value.scalar != "" { try walk(pair.value, prefix: name + ".") }
            } else {
                throw unknown(name, at: pair.place)
            }
        }
    }

    private func unknown(_ name: String, at place: ConfigurationPlace) -> ConfigurationError {
        ConfigurationError(
            unknownKey: name, at: place, known: ConfigurationTable.keys.map(\.name))
    }
}
