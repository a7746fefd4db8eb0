#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// What the operating system said when it refused.
package struct SystemFailure: Error, Sendable, Equatable, CustomStringConvertible {
    /// The `errno` of the failed call.
    package let number: Int32

    package init(number: Int32) { self.number = number }

    /// The failure of the call that this thread made last.
    static var last: SystemFailure { SystemFailure(number: errno) }

    package var description: String {
        unsafe strerror(number).map { unsafe String(cString: $0) } ?? "error \(number)"
    }

    /// The error of a reader: `path` is not there, or there and not to be read.
    package func reading(_ path: String) -> StorageError {
        let isMissing = number == ENOENT || number == ENOTDIR
        return isMissing
            ? StorageError(.missing, "\(path) does not exist", cause: self)
            : StorageError(.unreadable, "\(path) can't be read", cause: self)
    }

    /// The error of a writer that wanted to `verb` the file or folder at `path`.
    package func writing(_ path: String, _ verb: String) -> StorageError {
        let advice =
            switch number {
            case ENOSPC, EDQUOT: "; free some space and try again"
            case EACCES, EPERM, EROFS: "; choose a folder that may be written"
            default: ""
            }
        return StorageError(.unwritable, "can't \(verb) \(path)\(advice)", cause: self)
    }
}

/// The number by which the operating system knows this process.
enum ProcessNumber {
    static var own: Int32 { getpid() }
}
