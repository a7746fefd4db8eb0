#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// Files with keys and certificates: small, never overwritten, and keys only for their owner.
///
/// The only place of this module that hands pointers to C.
enum IdentityFile {
    /// Bytes of such a file, at most: 64 KiB.
    ///
    /// Ours have less than 4 KiB.
    static let bytesMax = 64 << 10

    /// Creates the file at `path` with permissions `mode`; throws if anything is there already.
    static func create(_ path: String, _ text: String, mode: mode_t) throws(ClusterError) {
        let file = unsafe open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode)
        guard file >= 0 else {
            throw errno == EEXIST
                ? ClusterError(.identity, "\(path) exists already and is not overwritten")
                : ClusterError(.identity, "can't create \(path): \(reason(errno))")
        }
        defer { close(file) }
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let count = unsafe rest.withUnsafeBytes { unsafe write(file, $0.baseAddress, $0.count) }
            guard count > 0 else {
                throw ClusterError(.identity, "can't write \(path): \(reason(errno))")
            }
            rest = rest.dropFirst(count)
        }
        guard fsync(file) == 0 else {
            throw ClusterError(.identity, "can't write \(path): \(reason(errno))")
        }
    }

    /// The text of the file at `path`.
    static func text(of path: String) throws(ClusterError) -> String {
        let file = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else {
            throw errno == ENOENT
                ? ClusterError(.identity, "\(path) does not exist")
                : ClusterError(.identity, "can't read \(path): \(reason(errno))")
        }
        defer { close(file) }
        var bytes = [UInt8](repeating: 0, count: bytesMax + 1)
        var length = 0
        while length < bytes.count {
            let count = unsafe bytes.withUnsafeMutableBytes { buffer in
                let rest = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[length...])
                return unsafe read(file, rest.baseAddress, rest.count)
            }
            guard count >= 0 else {
                throw ClusterError(.identity, "can't read \(path): \(reason(errno))")
            }
            if count == 0 { break }
            length += count
        }
        guard length <= bytesMax else {
            throw ClusterError(.identity, "\(path) has more than \(bytesMax) bytes: no identity")
        }
        return String(decoding: bytes[..<length], as: UTF8.self)
    }

    /// Creates a folder that only its owner may enter, unless there is a folder.
    static func createFolder(_ path: String) throws(ClusterError) {
        guard unsafe mkdir(path, 0o700) != 0, errno != EEXIST else { return }
        throw ClusterError(.identity, "can't create the folder \(path): \(reason(errno))")
    }

    static func exists(_ path: String) -> Bool { unsafe access(path, F_OK) == 0 }

    private static func reason(_ number: Int32) -> String {
        unsafe strerror(number).map { unsafe String(cString: $0) } ?? "error \(number)"
    }
}
