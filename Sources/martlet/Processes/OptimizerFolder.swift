import FoundationEssentials
import LocalSGD
import Roles
import Storage
import Tensors

/// Keeps a worker's optimizer state in a folder, one file per version, so that a resumed run goes
/// on with the same bits.
struct OptimizerFolder: Sendable {
    /// Files kept; older ones are removed.
    static let filesMax = 3
    private static let suffix = ".state.safetensors"

    let path: String

    private struct Document: Codable {
        var runID: String
        var version: UInt64
        var steps: Int
        var joinedLate: Bool
        /// Absent in files of earlier builds.
        var judge: UpdateJudge?
    }

    var vault: OptimizerVault {
        OptimizerVault(
            versions: { runID in
                files().filter { (try? document(of: $0.path))?.runID == runID }.map(\.version)
            },
            save: { state, runID, version in try save(state, runID, version) },
            load: { _, version in try load(version) })
    }

    /// The run of the newest state kept, if any.
    func newestRun() -> String? {
        files().last.flatMap { try? document(of: $0.path) }?.runID
    }

    /// Ascending by version.
    private func files() -> [(version: UInt64, path: String)] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
        return names.compactMap { name in
            guard name.hasSuffix(Self.suffix),
                let version = UInt64(name.dropLast(Self.suffix.count))
            else { return nil }
            return (version, "\(path)/\(name)")
        }.sorted { $0.version < $1.version }
    }

    private func document(of file: String) throws -> Document {
        try JSONDecoder().decode(Document.self, from: Data(StateFile(path: file).document))
    }

    private func save(_ state: SavedOptimizer, _ runID: String, _ version: UInt64) throws {
        try FileManager.default.createDirectory(
            atPath: path, withIntermediateDirectories: true)
        let document = Document(
            runID: runID, version: version, steps: state.steps, joinedLate: state.joinedLate,
            judge: state.judge)
        try StateFile.write(
            [("first_moment", state.firstMoment), ("second_moment", state.secondMoment)]
                + (state.residual.map { [("residual", $0)] } ?? []),
            document: Array(JSONEncoder().encode(document)),
            to: "\(path)/\(version)\(Self.suffix)")
        // A restart may have gone back to an earlier version; what is newer is of no use then.
        let newer = files().filter { $0.version > version }
        for file in files().dropLast(Self.filesMax) + newer {
            try FileManager.default.removeItem(atPath: file.path)
        }
    }

    private func load(_ version: UInt64) throws -> SavedOptimizer {
        let file = try StateFile(path: "\(path)/\(version)\(Self.suffix)")
        let document = try JSONDecoder().decode(Document.self, from: Data(file.document))
        func read(_ name: String) throws -> FloatBuffer {
            let values = FloatBuffer(count: file.count(of: name) ?? 0)
            if values.count > 0 { try file.read(name, into: values) }
            return values
        }
        return SavedOptimizer(
            firstMoment: try read("first_moment"), secondMoment: try read("second_moment"),
            steps: document.steps, joinedLate: document.joinedLate,
            judge: document.judge,
            // Absent with a codec that leaves nothing, and in files of earlier builds.
            residual: file.count(of: "residual") == nil ? nil : try read("residual"))
    }
}
