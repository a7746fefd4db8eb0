internal import CKernels

/// The upper half of an fp32 number: its range, and 8 bits of precision.
///
/// Swift has no such type; kernels do the arithmetic, in fp32.
package struct BFloat16: BitwiseCopyable, Sendable, Equatable {
    package var bits: UInt16

    package init(bits: UInt16) { self.bits = bits }

    /// `value` rounded to nearest, ties to even.
    package init(_ value: Float) {
        let pattern = value.bitPattern
        let rounded = (pattern &+ 0x7fff &+ (pattern >> 16 & 1)) >> 16
        self.init(bits: value.isNaN ? 0x7fc0 : UInt16(truncatingIfNeeded: rounded))
    }
}

extension UnsafePointer where Pointee == BFloat16 {
    /// As the kernels take it: the same 16 bits.
    var kernel: UnsafePointer<martlet_bf16> {
        unsafe UnsafeRawPointer(self).assumingMemoryBound(to: martlet_bf16.self)
    }
}

extension UnsafeMutablePointer where Pointee == BFloat16 {
    /// As the kernels take it: the same 16 bits.
    var kernel: UnsafeMutablePointer<martlet_bf16> {
        unsafe UnsafeMutableRawPointer(self).assumingMemoryBound(to: martlet_bf16.self)
    }
}

extension Float {
    /// Exactly `value`.
    package init(_ value: BFloat16) { self.init(bitPattern: UInt32(value.bits) << 16) }
}

extension Buffer where Element == BFloat16 {
    /// Overwrites this with `values` [n], each rounded to nearest, ties to even; on all threads.
    package func round(_ values: FloatBuffer) {
        precondition(values.count == count, "\(values.count) numbers for a view of \(count)")
        unsafe withUnsafePointer { half in
            unsafe values.withUnsafePointer { value in
                unsafe martlet_round_to_bf16(count, value, half.kernel)
            }
        }
    }

    /// The same numbers in fp32, in memory of their own.
    package func widened() -> FloatBuffer {
        let wide = FloatBuffer(count: count)
        for index in 0..<count { wide[index] = Float(self[index]) }
        return wide
    }
}
