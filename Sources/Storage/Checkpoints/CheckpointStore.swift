package import Tensors

/// The checkpoints of one run: folders called `checkpoint-000123` beside one another.
///
/// None is ever overwritten, and one that is being written or removed does not count.
package struct CheckpointStore: Sendable {
    /// One checkpoint by its name; it may be damaged.
    package struct Entry: Sendable, Equatable {
        package let number: UInt64
        package let path: String
    }

    private static let prefix = "checkpoint-"
    /// Stands for the newest checkpoint at the end of a path.
    package static let latest = "latest"

    package let path: String

    /// The store in the folder at `path`, which need not be there yet.
    package init(path: String) { self.path = path }

    /// The name of checkpoint `number`.
    package static func name(_ number: UInt64) -> String {
        let digits = String(number)
        return prefix + String(repeating: "0", count: max(0, 6 - digits.count)) + digits
    }

    /// Begins checkpoint `number`.
    ///
    /// Throws `unwritable`, also where there is one of that number.
    package func begin(
        _ number: UInt64, layout: ParameterLayout, documents: CheckpointDocuments,
        resume: [ResumeState]
    ) throws(StorageError) -> CheckpointWriter {
        try CheckpointWriter(
            path: path.appending(name: Self.name(number)), layout: layout, documents: documents,
            resume: resume)
    }

    /// All checkpoints, oldest first; none where there is no folder.
    ///
    /// Throws `unreadable`.
    package func entries() throws(StorageError) -> [Entry] {
        try names().compactMap { name in
            guard name.hasPrefix(Self.prefix),
                let number = UInt64(name.dropFirst(Self.prefix.count)),
                name == Self.name(number)
            else { return nil }
            return Entry(number: number, path: path.appending(name: name))
        }.sorted { $0.number < $1.number }
    }

    /// What is being written or removed now, or was when a process was stopped.
    ///
    /// Throws `unreadable`.
    package func partials() throws(StorageError) -> [String] {
        try names()
            .filter { $0.hasPrefix(".\(Self.prefix)") && $0.contains(AtomicFile.partialMark) }
            .map { path.appending(name: $0) }
    }

    private func names() throws(StorageError) -> [String] {
        Folder.kind(of: path) == nil ? [] : try Folder.names(in: path)
    }

    /// Removes ``partials()``.
    ///
    /// Only for who knows that nobody else uses this store. Throws `unreadable` or `unwritable`.
    package func removePartials() throws(StorageError) {
        for path in try partials() { try Folder.remove(path) }
    }

    /// Opens the newest checkpoint that is sound, and says what is wrong with newer ones, newest
    /// first.
    ///
    /// Throws `unreadable` where the folder can't be listed.
    package func newest() throws(StorageError) -> (checkpoint: Checkpoint?, refused: [StorageError])
    {
        var refused: [StorageError] = []
        for entry in try entries().reversed() {
            do throws(StorageError) {
                let checkpoint = try Checkpoint.open(entry.path)
                guard checkpoint.isResumable else {
                    throw StorageError(
                        .corrupt, "\(entry.path) is not complete: it has no resume files")
                }
                return (checkpoint, refused)
            } catch {
                refused.append(error)
            }
        }
        return (nil, refused)
    }

    /// Removes all checkpoints older than the `count` newest that have all their bytes; damaged
    /// ones do not count as kept.
    ///
    /// Returns what was removed. Throws `unreadable` or `unwritable`.
    package func prune(keeping count: Int) throws(StorageError) -> [Entry] {
        precondition(count > 0, "the newest checkpoint is never removed")
        let all = try entries()
        let complete = all.filter { entry in
            (try? Checkpoint.verify(entry.path, readingContents: false)) != nil
        }
        guard let oldestKept = complete.suffix(count).first, complete.count >= count else {
            return []
        }
        let removed = all.filter { $0.number < oldestKept.number }
        for entry in removed {
            // Renamed first: a removal that is cut short must not look like a checkpoint.
            let partial = AtomicFile.partialPath(for: entry.path)
            try File.rename(entry.path, to: partial)
            try Folder.remove(partial)
        }
        return removed
    }

    /// The checkpoint that `path` means: a checkpoint folder itself, or the newest sound one in a
    /// folder of checkpoints, or in that folder's `latest`.
    ///
    /// Throws `missing`, or what is wrong with the newest.
    package static func resolve(_ path: String) throws(StorageError) -> Checkpoint {
        let asksForLatest = path.lastName == latest && Folder.kind(of: path) == nil
        let store = CheckpointStore(path: asksForLatest ? path.parentPath : path)
        let isStore = try !store.entries().isEmpty
        guard asksForLatest || isStore else { return try Checkpoint.open(path) }
        let (checkpoint, refused) = try store.newest()
        if let checkpoint { return checkpoint }
        throw refused.first ?? StorageError(.missing, "there is no checkpoint in \(store.path)")
    }
}
