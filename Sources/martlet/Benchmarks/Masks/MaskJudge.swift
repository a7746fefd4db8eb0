import Status

/// Judges masks beside models that have fewer experts for all tokens.
struct MaskJudge {
    /// How much more loss than the base's counts as none, and the part of the experts' work that
    /// must be gone.
    static let tolerance = 0.02
    static let removal = 0.5

    /// Models of one kind, with more or fewer live experts, in one or several ways.
    struct Kind {
        let name: String
        let ways: [[MaskResult.Point]]
    }

    /// Masks, and the loss of each other kind of model with as many live experts.
    struct Comparison {
        let run: MaskRun
        let point: MaskResult.Point
        /// In the order of ``MaskJudge/others``; nothing where there is no run of that kind.
        let others: [Double?]

        /// Whether every other kind is there, and has more loss.
        var isBest: Bool { others.allSatisfy { $0.map { point.loss < $0 } ?? false } }

        /// Loss over that of the best other kind.
        var ratio: Double { point.loss / (others.compactMap { $0 }.min() ?? .infinity) }
    }

    let base: MaskResult.Point?
    /// The base after as much more training as all others had.
    let whole: MaskResult.Point?
    let masked: [(run: MaskRun, point: MaskResult.Point)]
    /// What masks are compared with.
    let others: [Kind]
    private let choices: Int

    /// Of results of `plan`.
    init(_ results: [MaskRun: MaskResult], plan: MaskPlan) {
        choices = plan.expertsPerToken
        base = results[.base]?.whole
        whole = results[.continued]?.whole
        masked = plan.masked.compactMap { run in results[run].map { (run, $0.whole) } }
        let pruned = results[.continued]?.pruned ?? []
        func ways(_ isOfKind: (MaskResult.Pruned) -> Bool) -> [[MaskResult.Point]] {
            [false, true].map { renormalizes in
                pruned.filter { $0.renormalizes == renormalizes && isOfKind($0) }.map(\.point)
            }
        }
        others = [
            Kind(
                name: "top-k, trained",
                ways: [plan.reduced.compactMap { results[.reduced($0)]?.whole }]),
            Kind(name: "top-k, not trained", ways: ways { $0.probability == 1 }),
            Kind(name: "top-p, not trained", ways: ways { $0.probability < 1 }),
        ]
    }

    /// Part of the experts' work that `point` does without.
    func removed(_ point: MaskResult.Point) -> Double { 1 - point.active / Double(choices) }

    /// All masks beside the others.
    var comparisons: [Comparison] {
        masked.map { run, point in
            Comparison(
                run: run, point: point,
                others: others.map { kind in
                    kind.ways.compactMap { loss(at: point.active, of: $0) }.min()
                })
        }
    }

    /// The loss that `points`, and the whole model, make with `active` experts between two of them,
    /// by a straight line; the least where there are several, and that of the fewest experts where
    /// there are none with so few.
    private func loss(at active: Double, of points: [MaskResult.Point]) -> Double? {
        guard let whole, let fewest = points.min(by: { $0.active < $1.active }) else { return nil }
        guard active > fewest.active else { return fewest.loss }
        let sorted = (points + [whole]).sorted { $0.active < $1.active }
        let losses = zip(sorted, sorted.dropFirst()).compactMap { left, right -> Double? in
            guard left.active <= active, active <= right.active else { return nil }
            let span = right.active - left.active
            let share = span == 0 ? 0 : (active - left.active) / span
            return left.loss + share * (right.loss - left.loss)
        }
        return losses.min()
    }

    /// Those that the tolerance leaves of `other`.
    private func close(to other: MaskResult.Point?) -> [Comparison] {
        guard let other else { return [] }
        return comparisons.filter { $0.point.loss <= (1 + Self.tolerance) * other.loss }
    }

    /// The masks that remove most within the tolerance of `other`.
    func sparsest(beside other: MaskResult.Point?) -> Comparison? {
        close(to: other).min { $0.point.active < $1.point.active }
    }

    /// The masks that are judged: of those that remove enough and are within the tolerance, the
    /// ones that are furthest ahead of all others; without such, those of least loss.
    var judged: Comparison? {
        func enough(_ comparison: Comparison) -> Bool {
            removed(comparison.point) >= Self.removal
        }
        return close(to: base).filter(enough).min { $0.ratio < $1.ratio }
            ?? comparisons.filter(enough).min { $0.point.loss < $1.point.loss }
    }

    /// All that is asked, in the order of the page; values are ratios of losses.
    var verdicts: [Verdict] {
        let removal = Figures.percent(Self.removal, digits: 0)
        let requirement =
            "masks that remove at least \(removal) of the experts' work: held-out loss"
        let judged = judged
        let limit = "at most +\(Figures.percent(Self.tolerance, digits: 0))"
        return [
            verdict("\(requirement) beside the base", limit, judged?.point, base?.loss) {
                $0 <= 1 + Self.tolerance
            }
        ]
            + others.enumerated().map { place, kind in
                verdict(
                    "\(requirement) beside \(kind.name), with as many live experts", "less",
                    judged?.point, judged?.others[place]
                ) { $0 < 1 }
            }
    }

    private func verdict(
        _ requirement: String, _ asked: String, _ point: MaskResult.Point?, _ other: Double?,
        isMet: (Double) -> Bool
    ) -> Verdict {
        guard let point, let other else {
            return Verdict(
                requirement: requirement, asked: asked, measured: "-", value: nil, met: .notRun)
        }
        let ratio = point.loss / other
        return Verdict(
            requirement: requirement, asked: asked,
            measured: "\(Figures.difference(ratio)): \(Figures.fixed(point.loss, digits: 4)) with"
                + " \(Figures.fixed(point.active, digits: 2)) live experts,"
                + " \(Figures.fixed(other, digits: 4))",
            value: ratio, met: isMet(ratio) ? .yes : .no)
    }
}
