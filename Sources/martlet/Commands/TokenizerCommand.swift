import ArgumentParser
import FoundationEssentials
import Storage

extension DataCommand {
    struct TokenizerCommand: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "tokenizer", abstract: "Learns a byte-level BPE tokenizer from text.",
            discussion: """
                The folder gets a tokenizer.json and a tokenizer_config.json, as Hugging Face's \
                libraries read them. The first special token ends documents; the second fills up.
                """)

        @Option(
            parsing: .upToNextOption,
            help: ArgumentHelp("Files and folders of text.", valueName: "path"))
        var corpus: [String]

        @Option(help: "Tokens to learn, bytes and special tokens included.")
        var vocabulary: Int

        @Option(help: ArgumentHelp("The folder to make.", valueName: "folder"))
        var output: String

        @Option(help: "How text is split: gpt2, qwen2 or llama3.")
        var pattern = BytePairTrainer.Split.qwen2

        @Option(
            parsing: .upToNextOption,
            help: ArgumentHelp("Special tokens.", valueName: "token"))
        var special: [String] = ["<|endoftext|>", "<|pad|>"]

        @Option(help: ArgumentHelp("The member of a JSONL line with the text.", valueName: "name"))
        var textKey = "text"

        @Flag(help: "Print JSON.")
        var json = false

        func validate() throws {
            let least = BytePairTrainer.vocabularyMin + special.count
            guard (least...BytePairTrainer.vocabularyMax).contains(vocabulary) else {
                throw ValidationError(
                    "--vocabulary: found \(vocabulary), allowed is \(least) to "
                        + "\(BytePairTrainer.vocabularyMax)")
            }
        }

        func run() throws {
            guard !FileManager.default.fileExists(atPath: output) else {
                throw CommandError(
                    .cannotCreate, "\(output) exists already and is not overwritten")
            }
            let bar = ProgressBar()
            var trainer = try BytePairTrainer(split: pattern)
            let documents = try CorpusDocument.load(paths: corpus, textKey: textKey)
            let total = documents.reduce(0) { $0 + $1.bytes.count }
            var done = 0
            for document in documents {
                try trainer.add(document.bytes)
                done += document.bytes.count
                bar.show("counting words", done: done, of: total)
            }
            let result = try trainer.train(vocabularySize: vocabulary, special: special) { merges in
                bar.show("merging", done: merges, of: vocabulary)
            }
            bar.clear()
            try write(result)
            report(result)
        }

        private func write(_ result: BytePairTrainer.Result) throws {
            do {
                try FileManager.default.createDirectory(
                    atPath: output, withIntermediateDirectories: true)
            } catch {
                throw CommandError(.cannotCreate, "\(output) is no place for a new folder")
            }
            try AtomicFile.write(
                result.configurationFileBytes, to: "\(output)/\(Tokenizer.configurationFileName)")
            try AtomicFile.write(result.fileBytes, to: "\(output)/\(Tokenizer.fileName)")
        }

        private func report(_ result: BytePairTrainer.Result) {
            if result.vocabularySize < vocabulary {
                Terminal.printNote(
                    "the text has no more pairs: \(result.vocabularySize) of \(vocabulary) tokens")
            }
            guard json else {
                return Terminal.printLine(
                    "\(output): \(result.vocabularySize) tokens, \(result.merges) merges, learned "
                        + "from \(result.words) different words")
            }
            Terminal.printLine(
                "{\"vocabulary_size\":\(result.vocabularySize),\"merges\":\(result.merges),"
                    + "\"words\":\(result.words)}")
        }
    }
}

extension BytePairTrainer.Split: ExpressibleByArgument {}
