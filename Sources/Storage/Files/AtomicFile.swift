internal import Synchronization

/// Files that are there whole or not at all, whatever stops the process: written under another
/// name, made durable, then renamed.
package enum AtomicFile {
    /// Writes `bytes` to the file at `path`, replacing it.
    ///
    /// On return they are on the disk under that name. Throws `unwritable`; then the old file, if
    /// there was one, is untouched.
    package static func write(_ bytes: [UInt8], to path: String) throws(StorageError) {
        try write(to: path) { (file) throws(StorageError) in try file.write(bytes) }
    }

    /// Lets `body` write the file that then takes the name `path`.
    static func write(
        to path: String, _ body: (File) throws(StorageError) -> Void
    ) throws(StorageError) {
        let partial = partialPath(for: path)
        let file = try File.create(partial)
        do throws(StorageError) {
            try body(file)
            try file.synchronize()
            try File.rename(partial, to: path)
            try File.synchronizeFolder(path.parentPath)
        } catch {
            try? Folder.remove(partial)
            throw error
        }
    }

    /// Bytes of the largest file that ``read(_:byteCountMax:)`` reads unless told otherwise: no
    /// document of ours comes near.
    package static let byteCountMax = 64 << 20

    /// All bytes of the file at `path`.
    ///
    /// Throws `missing`, `unreadable`, or `unsupported` for more bytes than `byteCountMax`.
    package static func read(
        _ path: String, byteCountMax: Int = byteCountMax
    ) throws(StorageError) -> [UInt8] {
        let file = try File.open(path)
        let count = try file.byteCount()
        guard count <= byteCountMax else {
            throw StorageError(
                .unsupported, "\(path) has \(count) bytes, more than the limit of \(byteCountMax)")
        }
        return try file.read(at: 0, count: count)
    }

    /// A name in the folder of `path` that is free, and that no other process and no other call
    /// here will take.
    static func partialPath(for path: String) -> String {
        while true {
            let number = partialNumber.wrappingAdd(1, ordering: .relaxed).newValue
            let name = ".\(path.lastName)\(partialMark)\(ProcessNumber.own)-\(number)"
            let candidate = path.parentPath.appending(name: name)
            // Something is left there only by a process of the same number that was stopped.
            if Folder.kind(of: candidate) == nil { return candidate }
        }
    }

    /// Stands in the name of everything that is not complete yet.
    static let partialMark = ".partial-"
    private static let partialNumber = Atomic<Int>(0)
}
