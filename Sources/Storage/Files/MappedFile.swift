internal import CKernels
internal import Tensors

#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// A file as memory: read when it is looked at, and kept by the operating system, not by us.
///
/// One that shrinks while it is mapped kills the process, unless a read notices it, as
/// ``readHalves(_:at:into:)`` does, which is for files of others. The other reads are only for
/// files that are written once and never changed: token shards are put in place whole, and nobody
/// writes to them again.
final class MappedFile: Sendable {
    let path: String
    /// Bytes in the file when it was mapped.
    let count: Int
    /// Where it begins in memory, mapped until the end of this object; 0 for an empty file.
    private let address: UInt

    /// Maps the regular file at `path`.
    ///
    /// Throws `missing` or `unreadable`.
    convenience init(path: String) throws(StorageError) {
        let file = try File.open(path)
        try self.init(file, count: try file.byteCount())
    }

    /// Maps the first `count` bytes of `file`.
    ///
    /// Throws `unreadable`.
    init(_ file: File, count: Int) throws(StorageError) {
        path = file.path
        self.count = count
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

    /// Fills `floats` with as many fp16 or bf16 numbers from byte `offset` on.
    ///
    /// Returns whether the file still has them; if not, `floats` holds anything.
    func readHalves(_ type: ScalarType, at offset: Int, into floats: FloatBuffer) -> Bool {
        precondition(
            offset >= 0 && floats.count <= (count - offset) / type.byteCount,
            "\(floats.count) numbers at \(offset) of the \(count) bytes of \(path)")
        guard let base = unsafe UnsafeRawPointer(bitPattern: address) else { return true }
        let source = unsafe base + offset
        return unsafe floats.withUnsafePointer { target in
            switch type {
            case .bfloat16:
                unsafe martlet_float_from_mapped_bf16(floats.count, source, target) != 0
            case .float16:
                unsafe martlet_float_from_mapped_f16(floats.count, source, target) != 0
            default: preconditionFailure("\(type.rawValue) is no 16-bit floating point type")
            }
        }
    }
}
