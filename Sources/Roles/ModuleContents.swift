package import LocalSGD
package import Tensors

/// All numbers of a module that a run goes on from.
package struct ModuleContents: Sendable {
    /// The global parameters, [n].
    package var parameters: FloatBuffer
    /// The outer optimizer's momentum, [n].
    package var momentum: FloatBuffer
    /// AdamW's first and second moment, [n] each, while the warm-up lasts.
    package var moments: Moments?
    /// Pushes that momentum waits for, [n], where there are no rounds.
    package var pending: FloatBuffer?
    /// What workers have of the parameters, [n], where pulls are coded.
    package var shadow: FloatBuffer?
    /// What is known of the module besides; nil where a run begins.
    package var record: ModuleRecord?

    package struct Moments: Sendable {
        package var first: FloatBuffer
        package var second: FloatBuffer

        package init(first: FloatBuffer, second: FloatBuffer) {
            self.first = first
            self.second = second
        }
    }

    package init(
        parameters: FloatBuffer, momentum: FloatBuffer, moments: Moments? = nil,
        pending: FloatBuffer? = nil, shadow: FloatBuffer? = nil, record: ModuleRecord? = nil
    ) {
        self.parameters = parameters
        self.momentum = momentum
        self.moments = moments
        self.pending = pending
        self.shadow = shadow
        self.record = record
    }

    /// As they travel: parameters, momentum and, if there are any, both moments, or what is pending
    /// and what workers have; there are never all of them.
    var arrays: [FloatBuffer] {
        if let moments { return [parameters, momentum, moments.first, moments.second] }
        return [parameters, momentum] + [pending, shadow].compactMap { $0 }
    }

    /// The other end: `isShadowed` if the last of `arrays` is what workers have.
    init?(arrays: [FloatBuffer], isShadowed: Bool) {
        var arrays = arrays
        if isShadowed, arrays.count > 2 { shadow = arrays.removeLast() }
        guard (2...4).contains(arrays.count), isShadowed == (shadow != nil) else { return nil }
        parameters = arrays[0]
        momentum = arrays[1]
        switch arrays.count {
        case 3: pending = arrays[2]
        case 4: moments = Moments(first: arrays[2], second: arrays[3])
        default: break
        }
    }
}
