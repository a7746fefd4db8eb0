package import Tensors

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// How a run learns masks (BEAM 2026): which experts a token can do without.
package struct MaskSettings: Sendable, Equatable, Codable {
    /// What is trained where masks are learnt.
    package enum Training: String, Sendable, Codable, CaseIterable {
        /// No masks: a model that has some keeps them, and is trained and measured without looking
        /// at them.
        case off
        /// Every parameter, as published.
        case all
        /// The mask routers and the routers.
        case maskAndRouter = "mask+router"
        /// The mask routers alone, on a model that stays as it is.
        case maskOnly = "mask-only"

        /// Whether parameters of `part` are trained; those of all other parts stay as they are.
        package func trains(_ part: ModulePart) -> Bool {
            switch (self, part) {
            case (.off, .masks), (.maskOnly, .router), (.maskOnly, .dense), (.maskOnly, .expert),
                (.maskAndRouter, .dense), (.maskAndRouter, .expert):
                false
            default: true
            }
        }

        /// Whether there are parts that are trained, and not by `other`.
        package func trainsMore(than other: Training) -> Bool {
            [ModulePart.dense, .router, .masks, .expert(0)].contains {
                trains($0) && !other.trains($0)
            }
        }
    }

    /// Norm of the soft masks that the regulariser is the mean of.
    package enum Regularizer: String, Sendable, Codable, CaseIterable { case l1, l2 }

    package var training: Training = .off
    /// beta, the regulariser's factor in the loss; where there is a target, its first value.
    package var coefficient: Double = 0.03
    package var regularizer: Regularizer = .l1
    /// Live experts per token and layer that the factor is steered to; 0 leaves it as it is.
    package var target: Double = 0
    /// How far the factor's logarithm moves a round for each live expert too many.
    package var targetRate: Double = 0.1
    /// Inner steps at the start in which the factor is 0.
    ///
    /// At first every mask is on its threshold, where the regulariser closes most of them in one
    /// step; task gradients need a while to lift the useful ones off.
    package var delay: Int = 0
    /// What is added to every mask logit at the start, falling to 0 over `biasSteps` inner steps:
    /// the other way off the threshold.
    package var bias: Double = 0
    package var biasSteps: Int = 0
    /// Learning rate of the mask routers, as a multiple of the others'.
    package var rateFactor: Double = 1

    package init() {}

    package var isOn: Bool { training != .off }

    /// Factor of the regulariser at inner step `step` of the run where `coefficient` is in force.
    package func coefficient(_ coefficient: Double, atStep step: Int) -> Double {
        step < delay ? 0 : coefficient
    }

    /// What is added to mask logits at inner step `step` of the run.
    package func bias(atStep step: Int) -> Double {
        step < biasSteps ? bias * (1 - Double(step) / Double(biasSteps)) : 0
    }

    /// Whether the factor is steered at inner step `step` of the run.
    ///
    /// It is not while the regulariser waits or a bias holds masks open: no factor would close
    /// them, so it would grow all that time and close everything when they are over.
    package func isSteered(atStep step: Int) -> Bool {
        target > 0 && step >= delay && bias(atStep: step) == 0
    }

    /// The factor after a round in which tokens had `active` live experts, where it was
    /// `coefficient`: log(beta) += rate * (active - target), within ``coefficientBounds``.
    ///
    /// `share` is the part of a round that was looked at.
    package func steered(_ coefficient: Double, active: Double, share: Double = 1) -> Double {
        guard target > 0, active.isFinite else { return coefficient }
        let moved = coefficient * exp(targetRate * share * (active - target))
        return min(max(moved, Self.coefficientBounds.lowerBound), Self.coefficientBounds.upperBound)
    }

    /// Where steering keeps the factor, so that it finds its way back from anywhere.
    package static let coefficientBounds = 1e-6...1e3

    /// How a module's parameters are trained: nothing for those that stay as they are.
    package func groups(of parts: PartLayout) -> [ParameterGroup] {
        ParameterGroup.joined(
            parts.pieces.filter { training.trains($0.part) }.map { piece in
                // A mask that nothing pulls on stays where it is.
                piece.part == .masks
                    ? ParameterGroup(range: piece.range, rateFactor: rateFactor, decays: false)
                    : ParameterGroup(range: piece.range)
            })
    }

    /// How the parameters of a whole model are trained, joined across its modules.
    package func groups(of layout: ParameterLayout) -> [ParameterGroup] {
        ParameterGroup.joined(
            layout.modules.indices.flatMap { module in
                let start = layout.modules[module].range.lowerBound
                return groups(of: PartLayout(module: module, of: layout)).map { group in
                    var group = group
                    group.range =
                        start + group.range.lowerBound..<start + group.range.upperBound
                    return group
                }
            })
    }
}

/// Parameters that an optimizer trains alike.
package struct ParameterGroup: Sendable, Equatable {
    package var range: Range<Int>
    /// Their learning rate, as a multiple of the run's.
    package var rateFactor = 1.0
    /// Whether weight decay applies.
    package var decays = true

    package init(range: Range<Int>, rateFactor: Double = 1, decays: Bool = true) {
        self.range = range
        self.rateFactor = rateFactor
        self.decays = decays
    }

    /// The same, with neighbours that are trained alike put together.
    fileprivate static func joined(_ groups: [ParameterGroup]) -> [ParameterGroup] {
        var joined: [ParameterGroup] = []
        for group in groups {
            if let last = joined.last, last.range.upperBound == group.range.lowerBound,
                last.rateFactor == group.rateFactor, last.decays == group.decays
            {
                joined[joined.count - 1].range = last.range.lowerBound..<group.range.upperBound
            } else {
                joined.append(group)
            }
        }
        return joined
    }
}
