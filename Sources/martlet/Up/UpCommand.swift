import ArgumentParser
import FoundationEssentials
import Status

struct UpCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "up", abstract: "Runs a whole local cluster and trains.",
        discussion: """
            Starts a coordinator, shard servers and workers as processes of their own, shows how \
            they do, and ends when the run does. Ctrl-C once ends the open round, keeps a \
            checkpoint and ends with 0; twice ends at once.
            """)

    @OptionGroup var source: ConfigurationOptions

    @Option(
        parsing: .singleValue,
        help: ArgumentHelp(
            "A file or folder with text to train on; may be given several times.",
            valueName: "path"))
    var corpus: [String] = []

    @Flag(help: "Go on from the newest checkpoint.")
    var resume = false

    @Flag(help: "Start a worker again that ended by itself.")
    var restartWorkers = false

    @Option(
        help: ArgumentHelp(
            "Where each worker writes a time line, as with `martlet worker --timeline`; one that "
                + "is started again begins its file anew.",
            valueName: "folder"))
    var timeline: String?

    @Flag(help: "Print the result as JSON, and progress to standard error.")
    var json = false

    @Flag(help: "Only explain every configuration key.")
    var explainConfig = false

    @Flag(help: .hidden)
    var markdown = false

    func run() async throws {
        if explainConfig {
            let page =
                try markdown
                ? ConfigurationPages.markdown : ConfigurationPages.explanation(of: source.load())
            return Terminal.print(page)
        }
        var loaded = try source.load()
        if !corpus.isEmpty { try loaded.replaceCorpus(corpus) }
        try checkCorpus(loaded.configuration.corpus)
        let folder = try RunFolder.choose(for: loaded.configuration, resumes: resume)
        loaded.configuration.folder = folder.path
        let supervisor = Supervisor(
            loaded: loaded, folder: folder, resumes: resume, restartsWorkers: restartWorkers,
            showsJSON: json, timelines: timeline)
        try await supervisor.run()
    }

    /// Says so before anything is started.
    private func checkCorpus(_ paths: [String]) throws {
        guard !paths.isEmpty else {
            throw CommandError(
                .missingInput, "no text to train on; say --corpus PATH or set the key corpus")
        }
        for path in paths where !FileManager.default.fileExists(atPath: path) {
            throw CommandError(.missingInput, "the corpus \(path) does not exist")
        }
    }
}

extension LoadedConfiguration {
    /// Puts the paths of `--corpus` over whatever there is.
    mutating func replaceCorpus(_ paths: [String]) throws(ConfigurationError) {
        guard let key = ConfigurationTable.byName["corpus"] else { return }
        let list = "[" + paths.map(quoted).joined(separator: ", ") + "]"
        try assign(key, text: list, at: .flag("--corpus"))
    }
}
