#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// An open regular file, closed with its last user.
///
/// The only place that makes file system calls on descriptors; reads and writes are whole or an
/// error.
///
/// Files are read with `pread`, or through a ``MappedFile``.
final class File: Sendable {
    let path: String
    private let descriptor: Int32

    private init(path: String, descriptor: Int32) {
        self.path = path
        self.descriptor = descriptor
    }

    deinit { close(descriptor) }

    /// Opens the regular file at `path` for reading.
    ///
    /// Throws `missing` or `unreadable`.
    static func open(_ path: String) throws(StorageError) -> File {
        // Without O_NONBLOCK, opening a pipe would wait for its writer for ever.
        let descriptor = Self.descriptor(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw SystemFailure.last.reading(path) }
        let file = File(path: path, descriptor: descriptor)
        guard try file.status().st_mode & S_IFMT == S_IFREG else {
            throw StorageError(.unreadable, "\(path) is not a regular file")
        }
        return file
    }

    /// Creates the file at `path` for writing; nothing may be there yet, unless it is `replaced`.
    ///
    /// Throws `unwritable`.
    static func create(_ path: String, replaced: Bool = false) throws(StorageError) -> File {
        let descriptor = Self.descriptor(
            path, O_RDWR | O_CREAT | O_CLOEXEC | (replaced ? O_TRUNC : O_EXCL))
        guard descriptor >= 0 else { throw SystemFailure.last.writing(path, "create") }
        return File(path: path, descriptor: descriptor)
    }

    /// Makes the names in the folder at `path` durable.
    ///
    /// Throws `unwritable`.
    static func synchronizeFolder(_ path: String) throws(StorageError) {
        let descriptor = Self.descriptor(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw SystemFailure.last.writing(path, "synchronize") }
        try File(path: path, descriptor: descriptor).synchronize()
    }

    private static func descriptor(_ path: String, _ flags: Int32) -> Int32 {
        var result: Int32
        repeat { result = Self.openCall(path, flags, 0o644) } while result < 0 && errno == EINTR
        return result
    }

    private static func openCall(_ path: String, _ flags: Int32, _ mode: mode_t) -> Int32 {
        #if canImport(Glibc)
        unsafe Glibc.open(path, flags, mode)
        #else
        unsafe Darwin.open(path, flags, mode)
        #endif
    }

    private func status() throws(StorageError) -> stat {
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else {
            throw SystemFailure.last.reading(path)
        }
        return status
    }

    /// Bytes in the file now.
    func byteCount() throws(StorageError) -> Int { Int(try status().st_size) }

    /// Fills `bytes` from `offset` on.
    ///
    /// Throws `corrupt` where the file ends too early.
    func read(at offset: Int, into bytes: UnsafeMutableRawBufferPointer) throws(StorageError) {
        guard let base = bytes.baseAddress else { return }
        var done = 0
        while done < bytes.count {
            let got = unsafe pread(
                descriptor, base + done, bytes.count - done, off_t(offset + done))
            if got > 0 {
                done += got
            } else if got == 0 {
                throw StorageError(
                    .corrupt,
                    "\(path) ends after \(offset + done) bytes, \(bytes.count - done) too early")
            } else if errno != EINTR {
                throw SystemFailure.last.reading(path)
            }
        }
    }

    /// The `count` bytes from `offset` on.
    ///
    /// Throws `corrupt` where the file ends too early.
    func read(at offset: Int, count: Int) throws(StorageError) -> [UInt8] {
        var failure: StorageError?
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            let target = unsafe UnsafeMutableRawBufferPointer(
                rebasing: UnsafeMutableRawBufferPointer(buffer)[..<count])
            do throws(StorageError) {
                try unsafe read(at: offset, into: target)
                initialized = count
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        return bytes
    }

    /// Maps the first `count` bytes, more than 0, for reading, and returns where they are.
    ///
    /// Throws `unreadable`.
    func mapped(_ count: Int) throws(StorageError) -> UInt {
        let base = unsafe mmap(nil, count, PROT_READ, MAP_PRIVATE, descriptor, 0)
        guard let base = unsafe base, unsafe base != MAP_FAILED else {
            throw SystemFailure.last.reading(path)
        }
        return UInt(bitPattern: base)
    }

    /// Appends all of `bytes` at the current end.
    ///
    /// Throws `unwritable`.
    func write(_ bytes: RawSpan) throws(StorageError) {
        var done = 0
        while done < bytes.byteCount {
            let rest = bytes.extracting(droppingFirst: done)
            let written = unsafe rest.withUnsafeBytes { buffer in
                guard let base = buffer.baseAddress else { return 0 }
                #if canImport(Glibc)
                return unsafe Glibc.write(descriptor, base, buffer.count)
                #else
                return unsafe Darwin.write(descriptor, base, buffer.count)
                #endif
            }
            if written >= 0 {
                done += written
            } else if errno != EINTR {
                throw SystemFailure.last.writing(path, "write")
            }
        }
    }

    /// Appends all of `bytes` at the current end.
    ///
    /// Throws `unwritable`.
    func write(_ bytes: [UInt8]) throws(StorageError) {
        try unsafe write(bytes.span.bytes)
    }

    /// Returns when everything written is on the disk.
    ///
    /// Throws `unwritable`.
    func synchronize() throws(StorageError) {
        while fsync(descriptor) != 0 {
            guard errno == EINTR else { throw SystemFailure.last.writing(path, "synchronize") }
        }
    }

    /// Gives the file at `source` the name `target`; a file already there is replaced, a folder
    /// that holds something is not.
    ///
    /// Throws `unwritable`.
    static func rename(_ source: String, to target: String) throws(StorageError) {
        #if canImport(Glibc)
        let result = unsafe Glibc.rename(source, target)
        #else
        let result = unsafe Darwin.rename(source, target)
        #endif
        guard result == 0 else { throw SystemFailure.last.writing(target, "put in place") }
    }
}
