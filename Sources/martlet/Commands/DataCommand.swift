import ArgumentParser
import Storage

/// Text before a run: tokenizers are learned from it, and token shards made of it.
struct DataCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "data", abstract: "Prepares text for training.",
        discussion: "docs/data.md describes the files.",
        subcommands: [PrepareCommand.self, TokenizerCommand.self, ShowCommand.self])
}

extension DataCommand {
    struct PrepareCommand: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "prepare", abstract: "Turns text into token shards with a manifest.",
            discussion: """
                Takes text files, JSONL files with one document a line, and folders of both. \
                Stopped at any time and started again with the same options, it goes on where \
                it was.
                """)

        @Option(
            parsing: .upToNextOption,
            help: ArgumentHelp("Files and folders of text.", valueName: "path"))
        var input: [String]

        @Option(help: ArgumentHelp("A tokenizer.json, or its folder.", valueName: "path"))
        var tokenizer: String

        @Option(help: ArgumentHelp("The folder to fill.", valueName: "folder"))
        var output: String

        @Option(help: "Share of the documents to hold out, from 0 to below 1.")
        var heldOut = Corpus.heldOutFractionDefault

        @Option(help: "About how many tokens go into a shard.")
        var shardTokens: Int?

        @Option(help: "Threads that encode, 1 to 256.")
        var workers = 1

        @Option(help: ArgumentHelp("The member of a JSONL line with the text.", valueName: "name"))
        var textKey = "text"

        @Option(
            help: ArgumentHelp(
                "The token that ends documents, if the tokenizer's files do not say.",
                valueName: "token"))
        var endToken: String?

        @Flag(help: "Print JSON.")
        var json = false

        func validate() throws {
            guard !input.isEmpty else { throw ValidationError("--input: no path is given") }
            guard heldOut >= 0, heldOut < 1 else {
                throw ValidationError(
                    "--held-out: found \(plain(heldOut)), allowed is a number from 0 to below 1")
            }
            guard (1...Preparation.workersMax).contains(workers) else {
                throw ValidationError(
                    "--workers: found \(workers), allowed is 1 to \(Preparation.workersMax)")
            }
            let allowed = Preparation.tokensPerShardRange
            if let shardTokens, !allowed.contains(shardTokens) {
                throw ValidationError(
                    "--shard-tokens: found \(shardTokens), allowed is \(allowed.lowerBound) to "
                        + "\(allowed.upperBound)")
            }
        }

        func run() async throws {
            var preparation = Preparation(inputs: input, tokenizer: tokenizer, output: output)
            preparation.heldOutFraction = heldOut
            preparation.tokensPerShard = shardTokens
            preparation.workers = workers
            preparation.textKey = textKey
            preparation.endToken = endToken
            let bar = ProgressBar()
            let result: Preparation.Result
            do {
                result = try await preparation.run { progress in
                    let verb = progress.stage == .reading ? "reading" : "encoding"
                    bar.show(verb, done: progress.bytes, of: progress.bytesTotal)
                }
            } catch {
                bar.clear()
                throw error
            }
            bar.clear()
            if json {
                Terminal.print(CorpusReportText.json(result.manifest))
            } else {
                for skip in result.skipped.prefix(CorpusReportText.skippedMax) {
                    Terminal.printNote("left out \(skip.path): \(skip.reason)")
                }
                let rest = result.skipped.count - CorpusReportText.skippedMax
                if rest > 0 { Terminal.printNote("left out \(rest) more") }
                Terminal.print(CorpusReportText.lines(result.manifest))
            }
        }
    }

    struct ShowCommand: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "show", abstract: "Verifies a prepared corpus and says what it holds.")

        @Argument(help: ArgumentHelp("The folder.", valueName: "folder"))
        var folder: String

        @Flag(help: "Print JSON.")
        var json = false

        func run() throws {
            let manifest = try PreparedCorpus.open(folder).manifest
            Terminal.print(
                json ? CorpusReportText.json(manifest) : CorpusReportText.lines(manifest))
        }
    }
}

/// What a corpus holds, for people and for programs.
enum CorpusReportText {
    /// Most files that are named as left out.
    static let skippedMax = 20

    static func json(_ manifest: CorpusManifest) -> String {
        String(decoding: manifest.json.encoded(), as: UTF8.self) + "\n"
    }

    static func lines(_ manifest: CorpusManifest) -> String {
        let origin = manifest.origin
        func side(_ name: String, _ shards: Int, _ documents: Int, _ tokens: Int) -> String {
            "\(name)\(tokens) tokens, \(documents) documents, \(shards) shards\n"
        }
        return side(
            "train      ", manifest.train.count, manifest.trainDocuments, manifest.trainTokens)
            + side(
                "held out   ", manifest.heldOut.count, manifest.heldOutDocuments,
                manifest.heldOutTokens)
            + "vocabulary \(origin.vocabularySize), documents end with token \(origin.endToken)\n"
            + "sources    \(origin.sources) files, \(origin.sourceBytes) bytes\n"
    }
}
