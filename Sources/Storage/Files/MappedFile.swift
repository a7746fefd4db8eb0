#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// A file as memory: read when it is looked at, and kept by the operating system, not by us.
///
/// Only for files that are written once and never changed: one that shrinks while it is mapped
/// kills the process. Token shards are put in place whole, and nobody writes to them again.
final class MappedFile: Sendable {
    let path: String
    /// Bytes in the file when it was mapped.
    let count: Int
    /// Where it begins in memory, mapped until the end of this object; 0 for an empty file.
    private let address: UInt

    /// Maps the regular file at `path`.
    ///
    /// Throws `missing` or `unreadable`.
    init(path: String) throws(StorageError) {
        self.path = path
        let file = try File.open(path)
        count = try file.byteCount()
        address = count == 0 ? 0 : try file.mapped(count)
    }

    deinit {
        if let base = unsafe UnsafeMutableRawPointer(bitPattern: address) {
            unsafe munmap(base, count)
        }
    }

    /// The checksum of all bytes from `offset` on.
    func checksum(from offset: Int) -> UInt32 {
        precondition(offset >= 0 && offset <= count, "\(offset) outside \(path)")
        var checksum = Checksum()
        if let base = unsafe UnsafeRawPointer(bitPattern: address) {
            let rest = unsafe UnsafeRawBufferPointer(start: base, count: count)
                .dropFirst(offset)
            unsafe checksum.update(UnsafeRawBufferPointer(rebasing: rest).bytes)
        }
        return checksum.value
    }

    /// The bytes in `range`.
    func bytes(_ range: Range<Int>) -> [UInt8] {
        numbers(UInt8.self, at: range.lowerBound, count: range.count) { $0 }
    }

    /// Appends `count` little-endian numbers of `Number` from byte `offset` on to `tokens`.
    func append<Number: FixedWidthInteger & BitwiseCopyable>(
        _ type: Number.Type, at offset: Int, count: Int, to tokens: inout [Int32]
    ) {
        tokens += numbers(type, at: offset, count: count) { Int32(truncatingIfNeeded: $0) }
    }

    /// `count` little-endian numbers from byte `offset` on, which need not be aligned.
    func numbers<Number: FixedWidthInteger & BitwiseCopyable, Result>(
        _ type: Number.Type, at offset: Int, count: Int, _ transform: (Number) -> Result
    ) -> [Result] {
        let width = MemoryLayout<Number>.size
        precondition(
            offset >= 0 && count >= 0 && offset <= self.count
                && count <= (self.count - offset) / width,
            "\(count) numbers at \(offset) outside \(path)")
        guard let base = unsafe UnsafeRawPointer(bitPattern: address) else { return [] }
        return (0..<count).map { index in
            let number = unsafe base.loadUnaligned(
                fromByteOffset: offset + index * width, as: Number.self)
            return transform(Number(littleEndian: number))
        }
    }
}
