import ArgumentParser
import Status
import Tensors

struct EvaluateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "eval",
        abstract: "Writes everything that a model computes from given tokens.",
        discussion: """
            The file gets logits, hidden_0 (the embedding) to hidden_L (after the final norm), \
            router_logits_0 and on, mask_logits_0 and on where masks are used, loss, and grad.NAME \
            for every tensor of the model. The loss is the mean cross-entropy of the next token, \
            without load balancing or any regulariser.
            """)

    @Option(help: ArgumentHelp("The checkpoint folder.", valueName: "folder"))
    var model: String

    @Option(
        help: ArgumentHelp(
            "Token ids as JSON: an array, or an array of arrays of equal length.",
            valueName: "file"))
    var ids: String

    @Option(help: ArgumentHelp("The safetensors file to write; a new one.", valueName: "file"))
    var dump: String

    @Option(
        help: ArgumentHelp(
            "A new folder to save the model in as well, as checkpoints hold it.",
            valueName: "folder"))
    var save: String?

    @Option(help: "What weights and activations are made of: fp32 or bf16.")
    var dtype: Precision = .fp32

    @Option(help: "Threads to compute with.")
    var threads = 1

    @OptionGroup var expertRouting: RoutingOptions

    @Flag(help: "Print JSON.")
    var json = false

    func validate() throws {
        guard (1...256).contains(threads) else {
            throw ValidationError("--threads: found \(threads), allowed is 1 to 256")
        }
    }

    func run() throws {
        let result = try ModelEvaluation.run(
            EvaluationRequest(
                model: model, ids: ids, dump: dump, save: save, precision: dtype,
                threads: threads, routing: expertRouting.request))
        guard json else {
            Terminal.printLine("loss \(result.loss) over \(result.targets) tokens")
            return
        }
        Terminal.printLine(
            "{\"loss\":\(result.loss),\"targets\":\(result.targets),"
                + "\"sequences\":\(result.sequences),\"tensors\":\(result.tensors),"
                + "\"active_per_token\":\(result.activePerToken),"
                + "\"dump\":\(jsonString(dump))}")
    }
}
