import Status
import Synchronization
import Wire

/// What `martlet up` shows.
///
/// With `--json`, standard output holds nothing but the result, and progress goes to standard error
/// as lines.
final class UpDisplay: Sendable {
    /// Tokens of the sample at the end.
    private static let sampleTokens = 240
    private static let samplePrompt = "import "

    private let view = Mutex(ProgressView())
    private let showsJSON: Bool

    init(showsJSON: Bool) {
        self.showsJSON = showsJSON
    }

    func show(_ answer: StatusAnswer) {
        let surface = showsJSON ? .plain : Terminal.surface
        let text = view.withLock { $0.update(answer.status, on: surface) }
        if !text.isEmpty { write(text) }
    }

    func note(_ text: String) {
        write(view.withLock { $0.erase() } + text + "\n")
    }

    /// Leaves the last block on the screen and goes on below it.
    func clear() { view.withLock { $0.leave() } }

    private func write(_ text: String) {
        if showsJSON {
            Terminal.printNote(text.hasSuffix("\n") ? String(text.dropLast()) : text)
        } else {
            Terminal.print(text)
        }
    }

    /// Prints the result.
    ///
    /// - Throws: `CommandError` if the run failed.
    func conclude(_ ending: UpEnding, plan: UpPlan) throws {
        let status = ending.last.status
        guard status.state == .finished else {
            let reason = status.reason.isEmpty ? "the run failed" : status.reason
            throw CommandError(
                .interrupted,
                "\(reason); logs: \(plan.folder.logs); resume with martlet up --resume")
        }
        let sample = status.hasCheckpoint ? sample(model: status.checkpoint.path) : nil
        if showsJSON {
            Terminal.printLine(UpSummary(ending, plan: plan).json(sample: sample))
        } else {
            Terminal.print(UpSummary(ending, plan: plan).text(sample: sample))
        }
    }

    /// Text from the checkpoint.
    ///
    /// That the run succeeded does not hang on it.
    private func sample(model: String) -> String? {
        let request = GenerationRequest(
            model: model, prompt: Self.samplePrompt, tokensMax: Self.sampleTokens)
        do {
            return Self.samplePrompt + (try TextGeneration.run(request) { _ in }).text
        } catch {
            Terminal.printNote("no sample: \(CommandError(describing: error).message)")
            return nil
        }
    }
}
