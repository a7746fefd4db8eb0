/// Where each parameter lives in the one flat vector of all parameters, and how that vector is cut
/// into modules, the smallest units with a version of their own.

/// Names, shapes and places of all parameters of a model.
///
/// Invariants: tensors lie one behind the other in the order of `tensors`, without overlap; each
/// module is a run of consecutive tensors; modules cover everything.
package struct ParameterLayout: Sendable, Equatable {
    /// One named tensor, row-major.
    package struct Tensor: Sendable, Equatable {
        /// Its published (Hugging Face) name, for example
        /// `model.layers.0.mlp.experts.3.up_proj.weight`.
        package let name: String
        package let shape: [Int]
        /// Its elements in the flat vector.
        package let range: Range<Int>
        /// Index into ``ParameterLayout/modules``.
        package let module: Int
    }

    /// The smallest unit with its own version, norm, detector and momentum: the embedding, a
    /// decoder layer, or the final norm with the head.
    package struct Module: Sendable, Equatable {
        package let name: String
        /// Its elements in the flat vector.
        package let range: Range<Int>
    }

    package let tensors: [Tensor]
    package let modules: [Module]
    /// Number of parameters.
    package let count: Int
    private let indexByName: [String: Int]

    /// Lays out `modules` (each a name and its tensors, in order) one behind the other.
    package init(modules specification: [(name: String, tensors: [(name: String, shape: [Int])])]) {
        var tensors: [Tensor] = []
        var modules: [Module] = []
        var end = 0
        for (moduleIndex, module) in specification.enumerated() {
            let moduleStart = end
            for (name, shape) in module.tensors {
                let size = shape.reduce(1, *)
                tensors.append(
                    Tensor(
                        name: name, shape: shape, range: end..<end + size, module: moduleIndex))
                end += size
            }
            modules.append(Module(name: module.name, range: moduleStart..<end))
        }
        self.tensors = tensors
        self.modules = modules
        count = end
        indexByName = Dictionary(
            uniqueKeysWithValues: tensors.enumerated().map { ($0.element.name, $0.offset) })
    }

    /// The tensor called `name`, if there is one.
    package func tensor(named name: String) -> Tensor? {
        indexByName[name].map { tensors[$0] }
    }
}
