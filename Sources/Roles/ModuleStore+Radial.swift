internal import LocalSGD
internal import Tensors

/// The mean of a round that keeps the length of its contributions.
extension ModuleStore {
    /// The ``RadialMean`` of what is held, each part's by its own norms and weights: what an expert
    /// has learnt must not depend on which way the rest of its layer went.
    ///
    /// `guards` has the factor that bounds a contribution's norm, by its index in the plan; those
    /// without one weigh nothing. Every contribution is decoded for its norms, again for the sum of
    /// directions, and once more only where these cancel: memory stays that of one update.
    func radialMean(_ plan: ShardState.MergePlan, guards: [Int: Double]) -> DoubleBuffer {
        let indices = guards.keys.sorted()
        let update = DoubleBuffer(count: count)
        func eachUpdate(_ body: (_ position: Int) -> Void) {
            for (position, index) in indices.enumerated() {
                update.clear()
                decode(
                    plan.weights[index].key, plan.opening.kind, current.shadow, weight: 1,
                    into: update)
                body(position)
            }
        }
        var squares: [ModulePart: [Double]] = [:]
        eachUpdate { position in
            for piece in parts.pieces {
                squares[piece.part, default: indices.map { _ in 0 }][position] +=
                    update[piece.range].sumOfSquares
            }
        }
        let factors = indices.map { guards[$0] ?? 0 }
        let means = squares.reduce(into: [ModulePart: RadialMean]()) { means, entry in
            let weights = plan.weights(of: entry.key)
            means[entry.key] = RadialMean(
                norms: zip(factors, entry.value).map { $0 * $1.squareRoot() },
                weights: indices.map { weights[$0] })
        }
        let sum = DoubleBuffer(count: count)
        func add(_ position: Int, _ factor: (ModulePart) -> Double) {
            for piece in parts.pieces {
                let factor = factor(piece.part) * factors[position]
                if factor > 0 { sum[piece.range].add(update[piece.range], weight: factor) }
            }
        }
        eachUpdate { position in
            add(position) { means[$0]?.directions[position] ?? 0 }
        }
        let plain = scaleDirections(in: sum, means)
        if !plain.isEmpty {
            eachUpdate { position in
                add(position) { plain.contains($0) ? means[$0]?.plain[position] ?? 0 : 0 }
            }
        }
        return sum
    }

    /// Gives each part's sum of directions its length; returns the parts without a direction, whose
    /// sums are 0 then.
    private func scaleDirections(
        in sum: DoubleBuffer, _ means: [ModulePart: RadialMean]
    ) -> Set<ModulePart> {
        let squares = parts.pieces.reduce(into: [ModulePart: Double]()) { squares, piece in
            squares[piece.part, default: 0] += sum[piece.range].sumOfSquares
        }
        var plain: Set<ModulePart> = []
        var scales: [ModulePart: Double] = [:]
        for part in parts.pieces.map(\.part) {
            let norm = (squares[part] ?? 0).squareRoot()
            if let mean = means[part], mean.hasDirections, let scale = mean.scale(ofDirection: norm)
            {
                scales[part] = scale
            } else {
                plain.insert(part)
            }
        }
        for piece in parts.pieces { sum[piece.range].scale(by: scales[piece.part] ?? 0) }
        return plain
    }
}
