package import Tensors

/// A part of a module that is weighed, or trained, on its own.
///
/// In a Mixture of Experts an expert that saw no tokens at a worker has learnt nothing there, and
/// the worker's say about it should be none, however many tokens the others saw.
package enum ModulePart: Hashable, Sendable {
    /// All that every token passes through: attention, norms, shared experts.
    case dense
    /// The router and the mask router, which every token passes through, too.
    case router
    case masks
    case expert(Int)

    /// Whose weights it has: an expert's own, or those of all that every token passes through.
    package var expert: Int? { if case .expert(let index) = self { index } else { nil } }
}

/// How a module is cut into parts.
///
/// Invariant: the pieces follow each other without gaps from 0 to the module's size, and no two
/// neighbours belong to the same part.
package struct PartLayout: Sendable, Equatable {
    package struct Piece: Sendable, Equatable {
        package let part: ModulePart
        /// Its elements, counted from the start of the module.
        package let range: Range<Int>

        package init(part: ModulePart, range: Range<Int>) {
            self.part = part
            self.range = range
        }
    }

    package let pieces: [Piece]

    /// Cuts `module` of `layout` by the published names of its tensors: what is called
    /// `...experts.3...` belongs to expert 3, what ends in `.gate.weight` is the router, in
    /// `.mask_router.weight` the mask router; all else is dense.
    package init(module: Int, of layout: ParameterLayout) {
        var pieces: [Piece] = []
        let start = layout.modules[module].range.lowerBound
        for tensor in layout.tensors where tensor.module == module {
            let part = PartLayout.part(ofTensor: tensor.name)
            var range = tensor.range.lowerBound - start..<tensor.range.upperBound - start
            if let last = pieces.last, last.part == part {
                pieces.removeLast()
                range = last.range.lowerBound..<range.upperBound
            }
            pieces.append(Piece(part: part, range: range))
        }
        self.pieces = pieces
    }

    /// A layout of these pieces; nil unless they follow each other from 0.
    package init?(pieces: [Piece]) {
        var end = 0
        for piece in pieces {
            guard piece.range.lowerBound == end else { return nil }
            end = piece.range.upperBound
        }
        self.pieces = pieces
    }

    /// A module of `count` elements without experts.
    package init(dense count: Int) { pieces = [Piece(part: .dense, range: 0..<count)] }

    /// Number of experts: one more than the highest index there is.
    package var experts: Int {
        pieces.reduce(0) { count, piece in
            if case .expert(let index) = piece.part { max(count, index + 1) } else { count }
        }
    }

    private static func part(ofTensor name: String) -> ModulePart {
        let words = name.split(separator: ".")
        switch words.suffix(2) {
        case ["gate", "weight"]: return .router
        case ["mask_router", "weight"]: return .masks
        default: break
        }
        guard let word = words.firstIndex(of: "experts"), word + 1 < words.count,
            let index = Int(words[word + 1]), index >= 0
        else { return .dense }
        return .expert(index)
    }
}
