internal import CKernels

/// What activations and weights are made of: `Float` to work with, ``BFloat16`` to work twice as
/// fast, `Double` to check gradients with.
package protocol KernelElement: BitwiseCopyable, Sendable {
    /// What is summed, or must not lose precision: gradients of parameters, statistics of norms,
    /// routing weights, logits.
    associatedtype Sum: KernelElement & BinaryFloatingPoint where Sum.Sum == Sum

    /// The operations to use unless others are asked for: the fastest there are.
    static var operations: Operations<Self> { get }
}

extension Float: KernelElement {
    package typealias Sum = Float
    package static var operations: Operations<Float> { .fast }
}

extension Double: KernelElement {
    package typealias Sum = Double
    package static var operations: Operations<Double> { .reference }
}

extension BFloat16: KernelElement {
    package typealias Sum = Float
    package static var operations: Operations<BFloat16> { .fast }
}

/// The arithmetic of the model on buffers of one element type: the only place where kernels meet
/// memory.
///
/// Every operation checks that its buffers can hold its shapes, which are given by a legend: M
/// rows, T tokens, D model width, V vocabulary, H query heads, G key/value heads, C head width, E
/// experts, K top-k, F expert hidden width, R dispatched rows, I and O widths of a linear map.
///
/// A buffer may be longer than its shape: the leading elements are used, so that one plan serves
/// smaller batches. Gradients of parameters are added to their buffer; gradients of activations are
/// overwritten, unless `accumulating` says that they are added too. The order of arguments is that
/// of `operations.h`.
package struct Operations<Element: KernelElement>: Sendable {
    let kernels: KernelTable<Element>
}

extension Operations where Element == Float {
    /// Vectorised and threaded; the same bits for any number of threads.
    package static let fast = Operations(kernels: .fast)
    /// Plain loops: what ``fast`` is compared with.
    package static let reference = Operations(kernels: .plain)
}

extension Operations where Element == BFloat16 {
    /// Vectorised and threaded, products summed in fp32; the same bits for any number of threads.
    package static let fast = Operations(kernels: .fast)
}

extension Operations where Element == Double {
    /// Plain loops in fp64.
    package static let reference = Operations(kernels: .plain)
}

/// The threads that all fast operations of this process share.
package enum KernelThreads {
    /// Threads that one process may use at most.
    package static let countMax = 1024

    /// How many threads operations use, the calling one included.
    package static var count: Int { Int(martlet_threads()) }

    /// Sets ``count``; waits for a running operation.
    ///
    /// 1 until called.
    package static func set(_ count: Int) {
        precondition(count >= 1 && count <= countMax, "\(count) threads outside 1...\(countMax)")
        martlet_threads_set(Int32(count))
    }

    /// Ends the pool's threads and frees their scratch memory, before a process exits.
    package static func stop() { martlet_threads_stop() }

    /// The instruction set that fast operations use on this machine, as `MARTLET_ISA` spells it.
    package static var instructionSet: String {
        guard let name = unsafe martlet_isa_name(martlet_isa_current()) else { return "unknown" }
        return unsafe String(cString: name)
    }
}

/// Calls `body` with the addresses of `buffers`, which stay alive meanwhile.
func withPointers<each Element: BitwiseCopyable & Sendable, Result>(
    _ buffers: repeat Buffer<each Element>,
    body: (repeat UnsafeMutablePointer<each Element>) -> Result
) -> Result {
    let result = unsafe body(repeat (each buffers).address)
    withExtendedLifetime((repeat each buffers)) {}
    return result
}

extension Optional {
    /// Calls `body` with the address of the buffer, or with `nil` when there is none.
    func withOptionalPointer<Element: BitwiseCopyable & Sendable, Result>(
        _ body: (UnsafeMutablePointer<Element>?) -> Result
    ) -> Result where Wrapped == Buffer<Element> {
        guard let self else { return body(nil) }
        return unsafe self.withUnsafePointer { unsafe body($0) }
    }
}

/// Stops the program when `buffer` cannot hold `needed` elements: a programmer's error.
@inline(__always)
func require<Element>(
    _ buffer: Buffer<Element>, holds needed: Int, _ name: @autoclosure () -> String
) {
    precondition(
        buffer.count >= needed, "\(name()) has \(buffer.count) elements, not \(needed)")
}
