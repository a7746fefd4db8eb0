internal import Synchronization

/// A folder that appears whole or not at all: filled under another name beside its place, made
/// durable, then renamed.
///
/// Removed again when it is dropped without ``publish()``.
final class AtomicFolder: Sendable {
    /// Where the folder will be.
    let path: String
    /// Where it is until then.
    let partialPath: String
    private let isPublished = Atomic<Bool>(false)

    /// Creates the folder under its other name.
    ///
    /// Throws `unwritable`, also where `path` is taken.
    init(path: String) throws(StorageError) {
        guard Folder.kind(of: path) == nil else {
            throw StorageError(.unwritable, "\(path) exists already and is not overwritten")
        }
        self.path = path
        partialPath = AtomicFile.partialPath(for: path)
        try Folder.create(partialPath)
    }

    deinit {
        if !isPublished.load(ordering: .relaxed) { try? Folder.remove(partialPath) }
    }

    /// Makes the files' names durable and puts the folder in its place.
    ///
    /// Each file must be durable already; `subfolders` are the names of all folders inside. Throws
    /// `unwritable`.
    func publish(subfolders: [String]) throws(StorageError) {
        for name in subfolders { try File.synchronizeFolder(partialPath.appending(name: name)) }
        try File.synchronizeFolder(partialPath)
        // Fails where a folder that holds something took the place meanwhile.
        try File.rename(partialPath, to: path)
        isPublished.store(true, ordering: .relaxed)
        try File.synchronizeFolder(path.parentPath)
    }
}
