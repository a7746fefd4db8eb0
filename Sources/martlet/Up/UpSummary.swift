import Status
import Wire

/// The closing words of a run.
///
/// Pure.
struct UpSummary {
    private let status: Martlet_V1_RunStatus
    private let json: String
    private let firstHeldOutLoss: Double?
    private let folder: RunFolder
    private let wasStopped: Bool

    init(_ ending: UpEnding, plan: UpPlan) {
        status = ending.last.status
        json = ending.last.json
        let point = status.history.first { $0.hasHeldOutLoss }
        firstHeldOutLoss =
            point?.heldOutLoss ?? ending.first.map(\.status.heldOutLoss)
        folder = plan.folder
        wasStopped = ending.wasStopped
    }

    func text(sample: String?) -> String {
        var lines = ["", wasStopped ? "stopped as asked; the run can go on" : "finished"]
        lines.append("  rounds      \(status.round) in \(Figures.duration(status.elapsedSeconds))")
        lines.append(
            "  tokens      \(Figures.count(status.tokens)), "
                + "\(Figures.count(averageSpeed)) a second, "
                + "\(Figures.count(status.lostTokens)) lost"
        )
        if let loss = lossLine { lines.append("  held out    \(loss)") }
        if status.hasTrainLoss { lines.append("  train       \(Figures.loss(status.trainLoss))") }
        if status.hasBytesUpPerToken {
            lines.append(
                "  traffic     \(Figures.fixed(status.bytesUpPerToken, digits: 1)) bytes up and "
                    + "\(Figures.fixed(status.bytesDownPerToken, digits: 1)) down per token")
        }
        if status.hasCheckpoint {
            let path = status.checkpoint.path
            lines.append("  checkpoint  \(path)")
            lines.append("  generate    martlet generate --model \(path) --prompt TEXT")
        }
        lines.append("  run folder  \(folder.path)")
        if wasStopped {
            lines.append("  resume      martlet up --resume --config \(folder.configuration)")
        }
        if let sample {
            lines += ["", "a sample from the checkpoint:", ""]
            lines += sample.split(separator: "\n", omittingEmptySubsequences: false).map {
                "  | " + Self.printable($0)
            }
        }
        return lines.map { $0 + "\n" }.joined()
    }

    /// One JSON object on one line.
    func json(sample: String?) -> String {
        let loss = firstHeldOutLoss.map { "\($0)" } ?? "null"
        return "{\"folder\":\(jsonString(folder.path)),\"stopped\":\(wasStopped),"
            + "\"first_held_out_loss\":\(loss),"
            + "\"sample\":\(sample.map(jsonString) ?? "null"),\"status\":\(json)}"
    }

    private var averageSpeed: Double {
        status.elapsedSeconds > 0 ? Double(status.tokens) / status.elapsedSeconds : 0
    }

    private var lossLine: String? {
        guard status.hasHeldOutLoss else { return nil }
        let last = Figures.loss(status.heldOutLoss)
        return firstHeldOutLoss.map { "\(Figures.loss($0)) -> \(last) nats per token" }
            ?? "\(last) nats per token"
    }

    /// A model may say anything; control characters do not reach the terminal.
    private static func printable(_ line: Substring) -> String {
        String(
            String.UnicodeScalarView(
                line.unicodeScalars.map { $0.value < 32 || $0.value == 127 ? "?" : $0 }))
    }
}
