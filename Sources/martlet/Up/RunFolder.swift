import Cluster
import FoundationEssentials

/// The folder of one local run, and where in it everything is.
struct RunFolder: Sendable, Equatable {
    /// Where runs live that were not told otherwise.
    static let home = "runs"
    /// Runs of one name, at most.
    private static let sameNameMax = 9999

    let path: String

    var authority: String { path + "/ca" }
    var identities: String { path + "/identities" }
    var logs: String { path + "/logs" }
    var checkpoints: String { path + "/checkpoints" }
    /// Where workers keep their inner optimizers' state.
    var workers: String { path + "/workers" }
    var statusSocket: String { path + "/status.sock" }
    /// The whole configuration as it was resolved.
    ///
    /// Written first: it marks the folder as used.
    var configuration: String { path + "/run.yaml" }

    func log(of node: NodeID) -> String { "\(logs)/\(node.name).log" }

    /// All run folders in `home`, ascending by name.
    static func all(in home: String) -> [RunFolder] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: home)) ?? []
        return names.sorted().map { RunFolder(path: "\(home)/\($0)") }.filter(\.isUsed)
    }

    /// The folder for a run: a fresh one, or the newest that there is to resume.
    ///
    /// Without a folder in the configuration, runs of the same name live beside each other:
    /// `runs/NAME`, `runs/NAME-2`, ... Nothing is ever overwritten.
    static func choose(for configuration: RunConfiguration, resumes: Bool) throws -> RunFolder {
        let isNamed = !configuration.folder.isEmpty
        let candidates = (1...(isNamed ? 1 : sameNameMax)).lazy.map { number in
            RunFolder(path: configuration.runFolder + (number == 1 ? "" : "-\(number)"))
        }
        let used = Array(candidates.prefix { $0.isTaken })
        if resumes {
            guard let newest = used.last(where: \.hasCheckpoints) else {
                throw CommandError(
                    .missingInput, "nothing to resume in \(configuration.runFolder): no checkpoint")
            }
            return newest
        }
        guard let fresh = candidates.first(where: { !$0.isTaken }) else {
            throw CommandError(
                .cannotCreate,
                "\(configuration.runFolder) already holds a run; --resume goes on "
                    + "with it, --set folder=PATH starts another")
        }
        return fresh
    }

    private var isUsed: Bool { FileManager.default.fileExists(atPath: configuration) }

    /// Whether there is something to lose: a checkpoint, or a run that may be under way.
    ///
    /// A start that failed, for want of text or of a free port, leaves neither, and its folder is
    /// used again.
    private var isTaken: Bool {
        isUsed && (hasCheckpoints || FileManager.default.fileExists(atPath: statusSocket))
    }

    private var hasCheckpoints: Bool {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: checkpoints)) ?? []
        return names.contains { $0.hasPrefix("checkpoint-") }
    }

    /// Makes the folder with what a run needs to start: its configuration, a certificate authority
    /// and one identity file for each of `nodes`.
    ///
    /// What is there already stays.
    func prepare(_ loaded: LoadedConfiguration, nodes: [NodeID]) throws {
        for folder in [path, logs, identities, checkpoints, workers] {
            try Self.make(folder, "run folder")
        }
        do {
            try loaded.yaml.write(toFile: configuration, atomically: true, encoding: .utf8)
        } catch {
            throw CommandError(
                .cannotCreate, "cannot write \(configuration): \(Self.reason(error))")
        }
        if !FileManager.default.fileExists(atPath: authority) {
            try Authority.create(in: authority)
        }
        for node in nodes where !FileManager.default.fileExists(atPath: identity(of: node)) {
            _ = try Authority.issue(node.role, name: node.name, from: authority, into: identities)
        }
    }

    /// Makes a folder, called `title` in an error, where there is none yet.
    static func make(_ folder: String, _ title: String) throws {
        do {
            try FileManager.default.createDirectory(
                atPath: folder, withIntermediateDirectories: true)
        } catch {
            throw CommandError(
                .cannotCreate, "cannot make the \(title) \(folder): \(reason(error))")
        }
    }

    func identity(of node: NodeID) -> String { "\(identities)/\(node.name).identity.pem" }

    private static func reason(_ error: any Error) -> String {
        switch (error as? CocoaError)?.code {
        case .fileWriteNoPermission: "permission denied"
        case .fileWriteOutOfSpace: "no space left"
        case .fileWriteFileExists: "a file of that name is in the way"
        case .fileWriteVolumeReadOnly: "the file system is read-only"
        default: "the folder cannot be written"
        }
    }
}
