internal import CKernels

/// Numbers of a few bits in blocks that share a scale.
///
/// The bytes of n numbers are two planes: scales and codes, or for bf16, which has no scales, the
/// upper and the lower halves.
package enum BlockFormat: String, Sendable, CaseIterable {
    /// The upper half of fp32, to nearest, ties to even.
    case bf16
    /// -127 ... 127 times a scale.
    case int8
    /// -7 ... 7 times a scale.
    case int4
    /// E3M0: a sign and one of seven powers of 2, or 0.
    case fp4

    /// Numbers that share a scale.
    package static let blockCount = Int(martlet_block)

    private var scaleByteCount: Int {
        switch self {
        case .bf16: 0
        case .int8, .int4: 2
        case .fp4: 1
        }
    }

    /// Bytes of the first plane of `count` numbers.
    package func firstPlaneByteCount(of count: Int) -> Int {
        if self == .bf16 { return count }
        return (count + Self.blockCount - 1) / Self.blockCount * scaleByteCount
    }

    /// Bytes of `count` numbers.
    package func byteCount(of count: Int) -> Int {
        firstPlaneByteCount(of: count) + codeByteCount(of: count)
    }

    private func codeByteCount(of count: Int) -> Int {
        switch self {
        case .bf16, .int8: count
        case .int4, .fp4: (count + 1) / 2
        }
    }

    /// Writes `x` to the places of numbers `first` and following in `bytes`, those of `count`.
    ///
    /// `first` is a multiple of ``blockCount``, and so is the end of `x`, or it is `count`.
    package func quantize(_ x: FloatBuffer, at first: Int, of count: Int, to bytes: Buffer<UInt8>) {
        let n = x.count
        unsafe withPlanes(at: first, n, of: count, in: bytes, x) { scales, codes, x in
            switch self {
            case .bf16: unsafe martlet_planes_from_float(n, x, scales, codes)
            case .int8: unsafe martlet_int8_from_float(n, x, wide(scales), signed(codes))
            case .int4: unsafe martlet_int4_from_float(n, x, wide(scales), codes)
            case .fp4: unsafe martlet_fp4_from_float(n, x, scales, codes)
            }
        }
    }

    /// What the places of `quantize(_:at:of:to:)` stand for.
    package func dequantize(
        _ bytes: Buffer<UInt8>, at first: Int, of count: Int, to x: FloatBuffer
    ) {
        let n = x.count
        unsafe withPlanes(at: first, n, of: count, in: bytes, x) { scales, codes, x in
            switch self {
            case .bf16: unsafe martlet_float_from_planes(n, scales, codes, x)
            case .int8: unsafe martlet_float_from_int8(n, wide(scales), signed(codes), x)
            case .int4: unsafe martlet_float_from_int4(n, wide(scales), codes, x)
            case .fp4: unsafe martlet_float_from_fp4(n, scales, codes, x)
            }
        }
    }

    private func withPlanes(
        at first: Int, _ n: Int, of count: Int, in bytes: Buffer<UInt8>, _ x: FloatBuffer,
        _ body: (
            UnsafeMutablePointer<UInt8>, UnsafeMutablePointer<UInt8>, UnsafeMutablePointer<Float>
        ) -> Void
    ) {
        precondition(first >= 0 && first % Self.blockCount == 0 && first + n <= count)
        precondition(n % Self.blockCount == 0 || first + n == count)
        precondition(bytes.count == byteCount(of: count))
        let plane = firstPlaneByteCount(of: count)
        let scales = bytes[firstPlaneByteCount(of: first)..<plane]
        let codes = bytes[plane + codeByteCount(of: first)..<bytes.count]
        unsafe withPointers(scales, codes, x, body: body)
    }

    /// A plane of scales of two bytes begins where its buffer does, and is aligned.
    private func wide(_ scales: UnsafeMutablePointer<UInt8>) -> UnsafeMutablePointer<UInt16> {
        unsafe UnsafeMutableRawPointer(scales).assumingMemoryBound(to: UInt16.self)
    }

    private func signed(_ codes: UnsafeMutablePointer<UInt8>) -> UnsafeMutablePointer<Int8> {
        unsafe UnsafeMutableRawPointer(codes).assumingMemoryBound(to: Int8.self)
    }
}
