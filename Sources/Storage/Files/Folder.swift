#if canImport(FoundationEssentials)
internal import FoundationEssentials
#else
internal import Foundation
#endif

/// Names and kinds of files, and folders as a whole.
enum Folder {
    enum Kind: Equatable { case file, folder, link, other }

    /// What is at `path`, links not followed; nil where nothing is.
    static func kind(of path: String) -> Kind? {
        guard let attributes = try? FileManager.default.attributesOfItem(atPath: path) else {
            return nil
        }
        return switch attributes[.type] as? FileAttributeType {
        case .typeRegular: .file
        case .typeDirectory: .folder
        case .typeSymbolicLink: .link
        default: .other
        }
    }

    /// Whether `path` is a folder, or a link to one.
    static func isFolder(_ path: String) -> Bool {
        var isFolder = false
        return FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) && isFolder
    }

    /// The names in the folder at `path`, in the order of their bytes.
    ///
    /// Throws `missing` or `unreadable`.
    static func names(in path: String) throws(StorageError) -> [String] {
        guard FileManager.default.fileExists(atPath: path) else {
            throw StorageError(.missing, "\(path) does not exist")
        }
        do {
            return try FileManager.default.contentsOfDirectory(atPath: path)
                .sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        } catch {
            throw StorageError(.unreadable, "the folder \(path) can't be listed", cause: error)
        }
    }

    /// Creates the folder at `path` and those above it, where they are not yet.
    ///
    /// Throws `unwritable`.
    static func create(_ path: String) throws(StorageError) {
        do {
            try FileManager.default.createDirectory(
                atPath: path, withIntermediateDirectories: true)
        } catch {
            throw StorageError(.unwritable, "can't create the folder \(path)", cause: error)
        }
    }

    /// Removes whatever is at `path`, with everything in it.
    ///
    /// Throws `unwritable`.
    static func remove(_ path: String) throws(StorageError) {
        do {
            try FileManager.default.removeItem(atPath: path)
        } catch {
            throw StorageError(.unwritable, "can't remove \(path)", cause: error)
        }
    }
}

extension String {
    /// This path, one name further.
    func appending(name: String) -> String { hasSuffix("/") ? self + name : "\(self)/\(name)" }

    /// The part of this path before its last name; "." where there is none.
    var parentPath: String {
        let trimmed = trimmingTrailingSlashes
        guard let slash = trimmed.lastIndex(of: "/") else { return "." }
        return slash == trimmed.startIndex ? "/" : String(trimmed[..<slash])
    }

    /// The last name of this path.
    var lastName: String {
        let trimmed = trimmingTrailingSlashes
        return trimmed.lastIndex(of: "/").map { String(trimmed[trimmed.index(after: $0)...]) }
            ?? trimmed
    }

    private var trimmingTrailingSlashes: String {
        var path = self
        while path.count > 1, path.hasSuffix("/") { path.removeLast() }
        return path
    }
}
