/// Flat, aligned runs of numbers. Everything numeric in Martlet lives in a ``Buffer``: all
/// parameters of a model are one, all gradients another, so that a module is a range and not a
/// graph of objects.

internal import Synchronization

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// Owns one aligned allocation and frees it with the last buffer that looks into it.
///
/// Nothing here asks the allocator for alignment. glibc 2.36 looks for a gap that is larger than
/// what it then hands out, and so never gives the gap of an aligned piece to another of its size: a
/// run whose modules were replaced step by step grew to ten times what it held. Small pieces are
/// aligned within larger ones, large ones are mapped by themselves, and some of those kept for the
/// next: to touch fresh pages costs many times as much as to clear pages that are there.
@safe private final class Region: @unchecked Sendable {
    /// Bytes per cache line and per AVX-512 register; every region starts on such a boundary.
    static let alignmentBytes = 64
    /// Regions of at least this size ask for huge pages, which nearly double read bandwidth.
    static let hugePageBytes = 2 << 20

    /// Mappings that nobody uses.
    private static let pool = Mutex(RegionPool())

    let base: UnsafeMutableRawPointer
    /// What is given back: the allocator's piece, or, where `mappedBytes` > 0, a mapping.
    private let allocation: UnsafeMutableRawPointer
    private let mappedBytes: Int

    init(byteCount: Int) {
        #if canImport(Glibc)
        if byteCount >= Region.hugePageBytes {
            mappedBytes = Region.rounded(byteCount, to: Region.hugePageBytes)
            if let kept = unsafe Region.kept(mappedBytes) {
                unsafe memset(kept, 0, mappedBytes)
                unsafe allocation = kept
            } else {
                unsafe allocation = Region.map(mappedBytes)
            }
            unsafe base = allocation
            return
        }
        #endif
        let rounded = Region.rounded(max(byteCount, 1), to: Region.alignmentBytes)
        guard let memory = unsafe malloc(rounded + Region.alignmentBytes) else {
            preconditionFailure("out of memory: \(rounded) bytes")
        }
        unsafe allocation = memory
        unsafe base = memory.alignedUp(toMultipleOf: Region.alignmentBytes)
        mappedBytes = 0
        unsafe memset(base, 0, rounded)
    }

    deinit {
        guard mappedBytes > 0 else { return unsafe free(allocation) }
        let address = unsafe UInt(bitPattern: allocation)
        for released in Region.pool.withLock({ $0.keep(address, mappedBytes) }) {
            unsafe munmap(UnsafeMutableRawPointer(bitPattern: released.address), released.byteCount)
        }
    }

    private static func kept(_ byteCount: Int) -> UnsafeMutableRawPointer? {
        let address = pool.withLock { $0.take(byteCount) }
        return unsafe address.flatMap { unsafe UnsafeMutableRawPointer(bitPattern: $0) }
    }

    private static func rounded(_ count: Int, to unit: Int) -> Int {
        (count + unit - 1) / unit * unit
    }

    #if canImport(Glibc)
    /// Maps `byteCount` zeros that start with a huge page: one more is mapped, and what sticks out
    /// at both ends given back.
    private static func map(_ byteCount: Int) -> UnsafeMutableRawPointer {
        let whole = byteCount + hugePageBytes
        let memory = unsafe mmap(
            nil, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        guard let memory = unsafe memory, unsafe memory != MAP_FAILED else {
            preconditionFailure("out of memory: \(byteCount) bytes")
        }
        let start = Int(bitPattern: memory)
        let before = rounded(start, to: hugePageBytes) - start
        let base = unsafe memory + before
        if before > 0 { unsafe munmap(memory, before) }
        unsafe munmap(base + byteCount, hugePageBytes - before)
        unsafe madvise(base, byteCount, MADV_HUGEPAGE)
        return unsafe base
    }
    #endif
}

/// A view of consecutive elements in shared, zero-initialised, 64-byte aligned memory.
///
/// Copying a buffer copies the view, not the numbers; the memory lives as long as any view of it.
/// A view is a place, not a value: whoever writes must be its only user at that time. The owner of
/// the memory (a trainer, a module of a shard server) sees to that; nothing here locks.
@safe package struct Buffer<Element: BitwiseCopyable & Sendable>: @unchecked Sendable {
    private let region: Region
    /// First element of the view.
    ///
    /// Valid for `count` elements while `region` is held.
    private let start: UnsafeMutablePointer<Element>
    /// Number of elements in the view.
    package let count: Int

    /// Allocates `count` elements, all zero.
    package init(count: Int) {
        precondition(count >= 0, "a buffer cannot hold \(count) elements")
        region = Region(byteCount: count * MemoryLayout<Element>.stride)
        unsafe start = region.base.bindMemory(to: Element.self, capacity: max(count, 1))
        self.count = count
    }

    /// Allocates a buffer holding a copy of `elements`.
    package init(_ elements: some Collection<Element>) {
        self.init(count: elements.count)
        var index = 0
        for element in elements {
            unsafe start[index] = element
            index += 1
        }
    }

    private init(region: Region, start: UnsafeMutablePointer<Element>, count: Int) {
        self.region = region
        unsafe self.start = unsafe start
        self.count = count
    }

    package subscript(index: Int) -> Element {
        get {
            precondition(index >= 0 && index < count, "index \(index) outside 0..<\(count)")
            return unsafe start[index]
        }
        nonmutating set {
            precondition(index >= 0 && index < count, "index \(index) outside 0..<\(count)")
            unsafe start[index] = newValue
        }
    }

    /// A view of `range` that shares this buffer's memory.
    package subscript(range: Range<Int>) -> Buffer {
        precondition(
            range.lowerBound >= 0 && range.upperBound <= count, "\(range) outside 0..<\(count)")
        return unsafe Buffer(
            region: region, start: start + range.lowerBound, count: range.count)
    }

    /// Copies all elements of `source`, which must have the same count and not overlap.
    package func copy(from source: Buffer) {
        precondition(source.count == count, "cannot copy \(source.count) elements into \(count)")
        unsafe start.update(from: source.start, count: count)
    }

    /// A buffer with its own memory and the same elements.
    package func duplicate() -> Buffer {
        let copy = Buffer(count: count)
        copy.copy(from: self)
        return copy
    }

    /// Sets every element to `value`.
    package func fill(_ value: Element) {
        unsafe start.update(repeating: value, count: count)
    }

    /// Sets every byte to 0, which is the number 0 for every element there is.
    package func clear() {
        unsafe memset(UnsafeMutableRawPointer(start), 0, count * MemoryLayout<Element>.stride)
    }

    /// The elements as an array, for tests and small results.
    package var array: [Element] {
        unsafe Array(UnsafeBufferPointer(start: start, count: count))
    }

    /// First element, for kernels called from this module; valid while the buffer is held.
    var address: UnsafeMutablePointer<Element> { unsafe start }

    /// The memory itself, for kernels and serialisation; the pointer must not outlive the closure.
    package func withUnsafePointer<Result, Failure: Error>(
        _ body: (UnsafeMutablePointer<Element>) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        defer { withExtendedLifetime(region) {} }
        return try unsafe body(start)
    }

    /// The view's bytes in memory order, for frames and codecs.
    package func withBytes<Result, Failure: Error>(
        _ body: (RawSpan) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        defer { withExtendedLifetime(region) {} }
        let bytes = unsafe UnsafeRawBufferPointer(
            start: start, count: count * MemoryLayout<Element>.stride)
        return try body(unsafe bytes.bytes)
    }

    /// Overwrites all elements with `bytes`, which must be exactly as many as the view holds.
    package func copy(fromBytes bytes: RawSpan) {
        let size = count * MemoryLayout<Element>.stride
        precondition(bytes.byteCount == size, "\(bytes.byteCount) bytes for a view of \(size)")
        unsafe bytes.withUnsafeBytes { source in
            guard let base = source.baseAddress else { return }
            unsafe UnsafeMutableRawPointer(start).copyMemory(from: base, byteCount: size)
        }
    }

    /// The view's bytes, for files and frames; the pointer must not outlive the closure.
    package func withUnsafeBytes<Result, Failure: Error>(
        _ body: (UnsafeMutableRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        defer { withExtendedLifetime(region) {} }
        return try unsafe body(
            UnsafeMutableRawBufferPointer(
                start: start, count: count * MemoryLayout<Element>.stride))
    }
}

package typealias FloatBuffer = Buffer<Float>
package typealias DoubleBuffer = Buffer<Double>
