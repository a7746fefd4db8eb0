import ArgumentParser
import Status

struct GenerateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "generate", abstract: "Continues a text with the model of a checkpoint.")

    @Option(help: ArgumentHelp("The checkpoint folder.", valueName: "folder"))
    var model: String

    @Option(help: "The text to continue.")
    var prompt: String

    @Option(help: "Tokens to generate, at most.")
    var maxTokens = 200

    @Option(help: "0 always takes the likeliest token; 1 draws as the model says.")
    var temperature = 0.8

    @Option(help: "Draw among this many likeliest tokens; 0 for all.")
    var topK = 0

    @Option(help: "Draw among the likeliest tokens that together have this probability.")
    var topP = 1.0

    @Option(help: "The same seed draws the same text.")
    var seed: UInt64 = 1

    @OptionGroup var expertRouting: RoutingOptions

    @Flag(help: "Print JSON.")
    var json = false

    func validate() throws {
        try check("--max-tokens", Double(maxTokens), .from(1, to: 1_000_000))
        try check("--temperature", temperature, .from(0, to: 100))
        try check("--top-k", Double(topK), .from(0, to: 1_000_000))
        try check("--top-p", topP, .above(0, to: 1))
    }

    private func check(_ name: String, _ value: Double, _ bounds: Bounds) throws {
        guard bounds.contains(value) else {
            throw ValidationError("\(name): found \(plain(value)), allowed is \(bounds.allowed)")
        }
    }

    func run() throws {
        let request = GenerationRequest(
            model: model, prompt: prompt, tokensMax: maxTokens, temperature: temperature,
            topK: topK, topP: topP, seed: seed, routing: expertRouting.request)
        guard json else {
            // Only once the model is there: an error stands alone.
            var begun = false
            _ = try TextGeneration.run(request) { piece in
                Terminal.print(begun ? piece : prompt + piece)
                begun = true
            }
            Terminal.print("\n")
            return
        }
        let result = try TextGeneration.run(request) { _ in }
        Terminal.printLine(
            "{\"prompt\":\(jsonString(prompt)),\"text\":\(jsonString(result.text)),"
                + "\"tokens\":\(result.tokens),\"active_per_token\":\(result.activePerToken)}")
    }
}

/// What to generate.
struct GenerationRequest: Sendable {
    /// Path of the checkpoint folder.
    var model: String
    var prompt: String
    var tokensMax = 200
    var temperature = 0.8
    /// 0 for all tokens.
    var topK = 0
    var topP = 1.0
    var seed: UInt64 = 1
    var routing = RoutingRequest()
}

/// What came of it.
struct GenerationResult: Sendable {
    /// Without the prompt.
    var text: String
    var tokens: Int
    /// Routed experts that were run for a token of prompt and text, on average over layers.
    var activePerToken: Double
}
