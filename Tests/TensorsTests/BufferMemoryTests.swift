import Glibc
import Tensors
import Testing

@Suite("Memory of buffers")
struct BufferMemoryTests {
    /// An allocator that keeps what is freed between two buffers in use finds no use for it: a run
    /// whose modules are replaced step by step grows without end.
    @Test("All but what is kept for the next goes back to the system, whatever is in use beside it")
    func freed() {
        // Whoever frees a large piece teaches glibc's allocator to keep the next ones.
        for _ in 0..<4 { _ = FloatBuffer(count: 3 << 20) }
        var buffers = (0..<160).map { _ in FloatBuffer(count: 700_000) }
        let pages = buffers.map { Self.address($0) }
        for buffer in buffers { #expect(Self.isMapped(Self.address(buffer))) }
        let last = buffers.removeLast()
        buffers = []
        // 64 of 4 MiB are kept; others may have mapped some of it anew by now.
        #expect(pages.dropLast().filter(Self.isMapped).count < 80)
        #expect(last.array.allSatisfy { $0 == 0 })
    }

    @Test("A large buffer is zero from end to end, and starts with a huge page")
    func large() {
        for count in [(1 << 19) - 1, 1 << 19, 1_000_001, 3 << 19] {
            let buffer = FloatBuffer(count: count)
            #expect(buffer[0] == 0 && buffer[count - 1] == 0)
            buffer.fill(1)
            #expect(buffer.array.reduce(0, +) == Float(count))
            let unit: UInt = count < 1 << 19 ? 64 : 2 << 20
            #expect(Self.address(buffer) % unit == 0, "\(count)")
        }
    }

    private static func address(_ buffer: FloatBuffer) -> UInt {
        unsafe buffer.withUnsafePointer { UInt(bitPattern: $0) }
    }

    /// Whether the page at `address` is the process's.
    private static func isMapped(_ address: UInt) -> Bool {
        var state: UInt8 = 0
        let start = unsafe UnsafeMutableRawPointer(bitPattern: address & ~4095)
        return unsafe mincore(start, 4096, &state) == 0
    }
}
