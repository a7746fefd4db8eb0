/// Bytes and checksum of every file of a checkpoint.
///
/// Written last; what it does not vouch for is not loaded. Every byte of it that means something is
/// checked against the files, so it needs no checksum of its own.
struct CheckpointManifest: Sendable, Equatable {
    struct Entry: Sendable, Equatable {
        /// Below the checkpoint folder.
        let name: String
        let byteCount: Int
        let checksum: UInt32
    }

    private static let format = "martlet-checkpoint"
    private static let version = 1

    var files: [Entry] = []

    func encoded() -> [UInt8] {
        let json: JSON = [
            "format": .string(Self.format), "version": .integer(Self.version),
            "files": .array(files.map(\.json)),
        ]
        return json.encoded(indented: true)
    }

    init() {}

    /// Reads the manifest of the checkpoint at `path`.
    ///
    /// Throws `missing`, `unreadable`, `corrupt`, or `unsupported` for one of another version.
    init(checkpoint path: String) throws(StorageError) {
        let path = path.appending(name: CheckpointFiles.manifest)
        let json = try JSON(file: path)
        guard json["format"]?.string == Self.format, let version = json["version"]?.integer,
            let entries = json["files"]?.array, json.members?.count == 3
        else { throw StorageError(.corrupt, "\(path) is no manifest of a checkpoint") }
        guard version == Self.version else {
            throw StorageError(
                .unsupported, "\(path) has version \(version), and \(Self.version) is read")
        }
        for entry in entries {
            guard let entry = Entry(entry) else {
                throw StorageError(.corrupt, "\(path) has an entry that describes no file")
            }
            files.append(entry)
        }
        let names = Set(files.map(\.name))
        guard names.count == files.count else {
            throw StorageError(.corrupt, "\(path) lists a file twice")
        }
        if let name = CheckpointFiles.required.first(where: { !names.contains($0) }) {
            throw StorageError(.corrupt, "\(path) does not list \(name)")
        }
        guard CheckpointFiles.weights.contains(where: names.contains) else {
            throw StorageError(.corrupt, "\(path) lists no weights")
        }
    }

    /// Checks that all files below `path` have the sizes that stand here, and the checksums if
    /// `readingContents`.
    ///
    /// Throws `corrupt`, or `unreadable`.
    func verify(checkpoint path: String, readingContents: Bool) throws(StorageError) {
        for entry in files { try entry.verify(below: path, readingContents: readingContents) }
    }
}

extension CheckpointManifest.Entry {
    fileprivate init?(_ json: JSON) {
        guard json.members?.count == 3, let name = json["name"]?.string, Self.isInside(name),
            let byteCount = json["bytes"]?.integer, byteCount >= 0,
            let text = json["crc32c"]?.string, let checksum = UInt32(text, radix: 16),
            text == Self.text(checksum)
        else { return nil }
        self.init(name: name, byteCount: byteCount, checksum: checksum)
    }

    fileprivate var json: JSON {
        [
            "name": .string(name), "bytes": .integer(byteCount),
            "crc32c": .string(Self.text(checksum)),
        ]
    }

    private static func text(_ checksum: UInt32) -> String {
        let digits = String(checksum, radix: 16)
        return String(repeating: "0", count: 8 - digits.count) + digits
    }

    /// Whether `name` can't lead out of the checkpoint folder.
    private static func isInside(_ name: String) -> Bool {
        name.split(separator: "/", omittingEmptySubsequences: false)
            .allSatisfy { !$0.isEmpty && $0 != "." && $0 != ".." && !$0.utf8.contains(0) }
    }

    fileprivate func verify(below path: String, readingContents: Bool) throws(StorageError) {
        let path = path.appending(name: name)
        guard Folder.kind(of: path) != nil else {
            throw StorageError(.corrupt, "\(path) is missing from the checkpoint")
        }
        let found = try File.open(path).byteCount()
        guard found == byteCount else {
            throw StorageError(
                .corrupt, "\(path) has \(found) bytes, and \(byteCount) were written")
        }
        guard readingContents else { return }
        let sum = try Checksum.of(file: path)
        guard sum.value == checksum else {
            throw StorageError(
                .corrupt,
                "\(path) is damaged: its checksum is \(Self.text(sum.value)), and"
                    + " \(Self.text(checksum)) was written; use an older checkpoint")
        }
    }
}
