package import Tensors

/// All numbers of a module that a run goes on from.
package struct ModuleContents: Sendable {
    /// The global parameters, [n].
    package var parameters: FloatBuffer
    /// The outer optimizer's momentum, [n].
    package var momentum: FloatBuffer
    /// AdamW's first and second moment, [n] each, while the warm-up lasts.
    package var moments: Moments?

    package struct Moments: Sendable {
        package var first: FloatBuffer
        package var second: FloatBuffer

        package init(first: FloatBuffer, second: FloatBuffer) {
            self.first = first
            self.second = second
        }
    }

    package init(parameters: FloatBuffer, momentum: FloatBuffer, moments: Moments? = nil) {
        self.parameters = parameters
        self.momentum = momentum
        self.moments = moments
    }

    /// As they travel: parameters, momentum and, if there are any, both moments.
    var arrays: [FloatBuffer] {
        [parameters, momentum] + (moments.map { [$0.first, $0.second] } ?? [])
    }

    init?(arrays: [FloatBuffer]) {
        guard arrays.count == 2 || arrays.count == 4 else { return nil }
        parameters = arrays[0]
        momentum = arrays[1]
        if arrays.count == 4 { moments = Moments(first: arrays[2], second: arrays[3]) }
    }
}
