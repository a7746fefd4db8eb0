internal import CKernels
internal import Tensors

#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// The bytes of a file as memory: pages of the page cache themselves, read-only, until the last
/// user is gone.
///
/// Another process may cut the file off meanwhile, and then the end of the mapping has no bytes.
/// So there is no way to the memory but reads that notice this.
final class Mapping: Sendable {
    private let byteCount: Int
    /// Of the first byte; 0 for a file without bytes, which can't be mapped.
    private let address: UInt

    /// Maps the first `byteCount` bytes of the open file `descriptor` at `path`.
    ///
    /// Throws `unreadable`.
    init(descriptor: Int32, byteCount: Int, path: String) throws(StorageError) {
        self.byteCount = byteCount
        guard byteCount > 0 else {
            address = 0
            return
        }
        let base = unsafe mmap(nil, byteCount, PROT_READ, MAP_PRIVATE, descriptor, 0)
        guard unsafe base != MAP_FAILED else { throw SystemFailure.last.reading(path) }
        address = UInt(bitPattern: base)
    }

    deinit {
        if address != 0 { unsafe munmap(UnsafeMutableRawPointer(bitPattern: address), byteCount) }
    }

    /// Fills `floats` with as many fp16 or bf16 numbers from byte `offset` on.
    ///
    /// Returns whether the file still has them; if not, `floats` holds anything.
    func readHalves(_ type: ScalarType, at offset: Int, into floats: FloatBuffer) -> Bool {
        precondition(
            offset >= 0 && floats.count <= (byteCount - offset) / type.byteCount,
            "\(floats.count) numbers at \(offset) of \(byteCount) bytes")
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
