/// A file that is written bit by bit, and is worth reading however far that got.
///
/// Nothing is made durable: it is for what may be lost.
package final class GrowingFile: Sendable {
    private let file: File

    /// Begins the file at `path`; one that is there is replaced.
    ///
    /// Throws `unwritable`.
    package init(replacing path: String) throws(StorageError) {
        file = try File.create(path, replaced: true)
    }

    /// Appends all of `bytes`.
    ///
    /// Throws `unwritable`.
    package func append(_ bytes: [UInt8]) throws(StorageError) { try file.write(bytes) }
}
