internal import CKernels
internal import Synchronization

/// The arithmetic of the codecs over flat buffers: each a fixed sequence of IEEE operations, so the
/// same numbers give the same bytes on every machine (see `codec.h`).

/// What is to be sent: an update [n], and what earlier ones left: beta * residual + (anchor -
/// local).
package struct Feedback: Sendable {
    package let beta: Float
    package let residual: FloatBuffer?
    /// The update itself where there is no `local`.
    package let anchor: FloatBuffer
    package let local: FloatBuffer?

    package init(
        beta: Float = 1, residual: FloatBuffer? = nil, anchor: FloatBuffer,
        local: FloatBuffer? = nil
    ) {
        precondition((residual?.count ?? anchor.count) == anchor.count)
        precondition((local?.count ?? anchor.count) == anchor.count)
        self.beta = beta
        self.residual = residual
        self.anchor = anchor
        self.local = local
    }

    package var count: Int { anchor.count }

    /// The part of it that `range` is.
    package subscript(range: Range<Int>) -> Feedback {
        Feedback(
            beta: beta, residual: residual?[range], anchor: anchor[range], local: local?[range])
    }

    /// Writes it to `x` [n].
    package func write(to x: FloatBuffer) {
        precondition(x.count == count)
        unsafe withKernel { of in
            unsafe x.withUnsafePointer { unsafe martlet_feedback(count, of, $0) }
        }
    }

    fileprivate func withKernel<Result>(_ body: (martlet_feedback_of) -> Result) -> Result {
        unsafe residual.withOptionalPointer { residual in
            unsafe local.withOptionalPointer { local in
                unsafe anchor.withUnsafePointer { anchor in
                    unsafe body(
                        martlet_feedback_of(
                            beta: beta, residual: residual, anchor: anchor, local: local))
                }
            }
        }
    }
}

/// The numbers of largest magnitude in each chunk, two bits for each of them.
package struct TopKSelection: Sendable {
    /// Numbers of which some are kept.
    package static let chunkCount = Int(martlet_chunk)

    /// Within their chunk, ascending.
    package let positions: Buffer<UInt16>
    /// Bit 0: the sign; bit 1: whether the magnitude is the upper level.
    package let codes: Buffer<UInt8>
    /// The lower and the upper level of each chunk.
    package let levels: Buffer<UInt16>

    /// Selects, and writes what is not sent to `next`; `nil`, and `next` is anything, if a
    /// magnitude is not below 2^126.
    package init?(_ feedback: Feedback, kept: Int, next: FloatBuffer?) {
        precondition((next?.count ?? feedback.count) == feedback.count)
        precondition(kept >= 1 && kept <= Self.chunkCount, "\(kept) of a chunk")
        let count = Self.count(kept: kept, of: feedback.count)
        let chunks = (feedback.count + Self.chunkCount - 1) / Self.chunkCount
        positions = Buffer(count: count)
        codes = Buffer(count: count)
        levels = Buffer(count: 2 * chunks)
        let isFinite = unsafe withPointers(positions, codes, levels) { positions, codes, levels in
            unsafe feedback.withKernel { of in
                unsafe next.withOptionalPointer { next in
                    unsafe martlet_topk(
                        feedback.count, kept, of, next, positions, codes, levels)
                }
            }
        }
        if isFinite == 0 { return nil }
    }

    /// How many of `count` numbers are kept in all.
    package static func count(kept: Int, of count: Int) -> Int {
        let rest = count % chunkCount
        return count / chunkCount * kept + (kept * rest + chunkCount - 1) / chunkCount
    }

    /// What a level stands for; finite below ``levelEnd``.
    package static func level(_ code: UInt16) -> Float { martlet_level(code) }

    /// The first code that is no level.
    package static let levelEnd = 0xff0
}

extension Buffer where Element == Float {
    /// Whether every magnitude is below 2^126, which is what codecs take.
    package var isModerate: Bool {
        unsafe withUnsafePointer { x in unsafe martlet_largest(count, x) } < 0x7e80_0000
    }

    /// `self += values`, each sum rounded to fp32.
    package func add(_ values: FloatBuffer) {
        let sums = FloatBuffer(count: count)
        Feedback(residual: self, anchor: values).write(to: sums)
        copy(from: sums)
    }
}

extension Buffer where Element == Double {
    /// `self += weight * values`, vectorised.
    package func weigh(_ values: FloatBuffer, by weight: Double) {
        precondition(values.count == count)
        unsafe withPointers(values, self) { x, sum in unsafe martlet_weigh(count, weight, x, sum) }
    }
}

extension KernelThreads {
    /// `body(0)`, `body(1)` and so on to below `count`, on the threads of all fast operations.
    ///
    /// The results come in their order, whoever made them.
    package static func map<Result: Sendable>(
        _ count: Int, _ body: @Sendable (Int) -> Result
    ) -> [Result] {
        let results = Mutex([Result?](repeating: nil, count: count))
        let work: @Sendable (Int) -> Void = { index in
            let result = body(index)
            results.withLock { $0[index] = result }
        }
        withoutActuallyEscaping(work) { work in
            unsafe withUnsafePointer(to: work) { context in
                unsafe martlet_tasks(
                    count,
                    { context, index in
                        typealias Work = @Sendable (Int) -> Void
                        unsafe context?.assumingMemoryBound(to: Work.self).pointee(index)
                    }, context)
            }
        }
        return results.withLock { $0.compactMap(\.self) }
    }
}

extension RawSpan {
    /// The byte at `index`, for modules that have no pointers of their own.
    @inlinable package func byte(_ index: Int) -> UInt8 {
        precondition(index >= 0 && index < byteCount, "byte \(index) of \(byteCount)")
        return unsafe unsafeLoad(fromByteOffset: index, as: UInt8.self)
    }
}
