import Cluster
import FoundationEssentials

/// The log of a process that has ended: its last error, if it said one, is the best account of why.
struct ChildLog {
    private static let errorMark = "martlet: error: "

    let path: String

    /// The failure of a run whose process `node` has ended.
    func failure(of node: NodeID, _ exit: ChildExit, note: String? = nil) -> CommandError {
        let lead = note.map { "\($0); " } ?? ""
        if case .code(let code) = exit, let status = ExitStatus(rawValue: code),
            status != .success, let said = lastError
        {
            return CommandError(status, "\(lead)\(node.title): \(said) (log: \(path))")
        }
        return CommandError(
            .interrupted,
            "\(lead)\(node.title) \(exit.description); see \(path), then martlet up --resume")
    }

    /// What the process printed as its error, without the mark.
    var lastError: String? {
        guard let text = try? String(contentsOfFile: path, encoding: .utf8) else { return nil }
        let line = text.split(separator: "\n").last { $0.hasPrefix(Self.errorMark) }
        return line.map { String($0.dropFirst(Self.errorMark.count)) }
    }
}
