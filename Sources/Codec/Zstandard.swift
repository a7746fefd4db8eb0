internal import CZstd
internal import Tensors

/// Frames of zstd (RFC 8878), of known size on both sides.
enum Zstandard {
    /// The fastest level that has an entropy coder: there are hardly any repetitions to find.
    private static let level: CInt = 1

    /// `bytes` as one frame that states its size; `nil` unless it is shorter.
    static func compress(_ bytes: Buffer<UInt8>) -> [UInt8]? {
        let target = Buffer<UInt8>(count: bytes.count)
        let size = unsafe bytes.withUnsafePointer { source in
            unsafe target.withUnsafePointer { target in
                unsafe ZSTD_compress(target, bytes.count, source, bytes.count, level)
            }
        }
        // An error here is that it does not fit.
        guard ZSTD_isError(size) == 0, size < bytes.count else { return nil }
        return target[0..<Int(size)].array
    }

    /// Whether `frame` is exactly one frame that states the size of `bytes`, and has become them.
    ///
    /// Nothing is allocated in proportion to the frame or to what it states: libzstd writes
    /// straight to `bytes`, which so is its window too.
    static func decompress(_ frame: RawSpan, into bytes: Buffer<UInt8>) -> Bool {
        unsafe frame.withUnsafeBytes { source in
            let stated = unsafe ZSTD_getFrameContentSize(source.baseAddress, source.count)
            let length = unsafe ZSTD_findFrameCompressedSize(source.baseAddress, source.count)
            guard stated == UInt64(bytes.count), length == source.count else { return false }
            return unsafe bytes.withUnsafePointer { target in
                unsafe ZSTD_decompress(target, bytes.count, source.baseAddress, source.count)
                    == bytes.count
            }
        }
    }
}
