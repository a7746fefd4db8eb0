/// The key table as pages for people.
enum ConfigurationPages {
    /// What `martlet up --explain-config` prints: every key with its value here and its rule.
    static func explanation(of loaded: LoadedConfiguration) -> String {
        ConfigurationTable.keys.map { key in
            let value =
                loaded.isOfFolder(key)
                ? "as the config.json of model.from says" : key.yaml(loaded.configuration)
            let place = loaded.places[key.name] ?? .defaults
            return """
                \(key.name): \(value)
                    \(key.summary)
                    allowed: \(key.allowed)
                    from: \(place)

                """
        }.joined()
    }

    /// `docs/configuration.md`.
    static var markdown: String {
        let defaults = RunConfiguration()
        let rows = ConfigurationTable.keys.map { key in
            "| `\(key.name)` | `\(key.yaml(defaults))` | \(key.allowed) | \(key.summary) |"
        }
        return """
            # Configuration

            <!-- Written by `martlet up --explain-config --markdown`; a test compares. -->

            `martlet up --config FILE` reads YAML. Keys with dots are groups: `training.rounds` may
            be written as `training:` with `rounds:` indented under it, or as it stands. Every key
            can also be given as an environment variable (`training.rounds` is
            `MARTLET_TRAINING_ROUNDS`) and as a flag (`--set training.rounds=100`). A flag goes
            before the environment, that before the file, that before the default. Paths are
            relative to the folder in which the command runs. `martlet up --explain-config` shows
            every key, its value and where that comes from.

            | key | default | allowed | what it does |
            |---|---|---|---|
            \(rows.joined(separator: "\n"))

            """
    }
}
