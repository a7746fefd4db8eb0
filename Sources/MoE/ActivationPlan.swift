package import Tensors

/// Makes the buffers that a model computes in, once, and counts their memory.
package struct ActivationPlan {
    /// Bytes of all buffers made so far.
    package private(set) var bytes = 0

    package init() {}

    package mutating func buffer<Element: BitwiseCopyable & Sendable>(
        _ count: Int, of _: Element.Type = Element.self
    ) -> Buffer<Element> {
        bytes += count * MemoryLayout<Element>.stride
        return Buffer(count: count)
    }
}
extension ActivationPlan {
    mutating func dispatch(tokens: Int, choices: Int, experts: Int) -> Dispatch {
        let dispatch = Dispatch(tokens: tokens, choices: choices, experts: experts)
        bytes += (experts + 1 + 2 * tokens * choices) * MemoryLayout<Int32>.stride
        return dispatch
    }
}
