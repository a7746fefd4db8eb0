import ArgumentParser
import FoundationEssentials

/// The options from which a run's configuration is read.
struct ConfigurationOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The configuration file, in YAML.", valueName: "file"))
    var config: String?

    @Option(
        name: .customLong("set"), parsing: .singleValue,
        help: ArgumentHelp("Sets one key over file and environment.", valueName: "key=value"))
    var settings: [String] = []

    /// Reads and checks everything.
    ///
    /// Without a file there are the defaults, environment and flags.
    func load() throws -> LoadedConfiguration {
        let file = try config.map { (path: $0, yaml: try Self.read($0)) }
        return try LoadedConfiguration(
            file: file, environment: ProcessInfo.processInfo.environment, settings: settings)
    }

    private static func read(_ config: String) throws -> String {
        do {
            let attributes = try FileManager.default.attributesOfItem(atPath: config)
            let bytes = attributes[.size] as? Int ?? 0
            guard bytes <= ConfigurationValue.fileBytesMax else {
                throw CommandError(.badConfiguration, "\(config) is too large for a configuration")
            }
            return try String(contentsOfFile: config, encoding: .utf8)
        } catch let error as CommandError {
            throw error
        } catch {
            throw CommandError(
                .missingInput, "cannot read the configuration \(config): \(reason(error))")
        }
    }

    private static func reason(_ error: any Error) -> String {
        switch (error as? CocoaError)?.code {
        case .fileReadNoSuchFile, .fileNoSuchFile: "no such file"
        case .fileReadNoPermission: "permission denied"
        case .fileReadInapplicableStringEncoding, .fileReadCorruptFile: "it is not UTF-8 text"
        default: "it is not a readable file"
        }
    }
}
