package import Tensors

/// Makes the buffers that a model computes in, once, and counts their memory.
package struct ActivationPlan {
    /// Bytes of all buffers made so far.
    package private(set) var bytes = 0

    /// What was made in each room, in order, for whoever comes next to take in the same order.
    private var rooms: [String: [Any]] = [:]
    private var room: (name: String, taken: Int)?

    package init() {}

    package mutating func buffer<Element: BitwiseCopyable & Sendable>(
        _ count: Int, of _: Element.Type = Element.self
    ) -> Buffer<Element> {
        found {
            $0.bytes += count * MemoryLayout<Element>.stride
            return Buffer(count: count)
        }
    }

    /// Lets `body` make its buffers in the room called `name`: all bodies in one room get the same
    /// memory, and must ask for the same buffers in the same order.
    mutating func inRoom<Result>(
        _ name: String, _ body: (inout ActivationPlan) -> Result
    ) -> Result {
        precondition(room == nil, "a room has no rooms")
        room = (name, 0)
        defer { room = nil }
        return body(&self)
    }

    /// What the room has next, or what `make` makes.
    private mutating func found<Made>(_ make: (inout ActivationPlan) -> Made) -> Made {
        guard let (name, taken) = room else { return make(&self) }
        room = (name, taken + 1)
        if let kept = rooms[name], taken < kept.count {
            guard let made = kept[taken] as? Made else {
                preconditionFailure("another order of buffers in room \(name)")
            }
            return made
        }
        let made = make(&self)
        rooms[name, default: []].append(made)
        return made
    }
}

extension ActivationPlan {
    mutating func dispatch(tokens: Int, choices: Int, experts: Int) -> Dispatch {
        found {
            $0.bytes += (experts + 1 + 2 * tokens * choices) * MemoryLayout<Int32>.stride
            return Dispatch(tokens: tokens, choices: choices, experts: experts)
        }
    }
}
