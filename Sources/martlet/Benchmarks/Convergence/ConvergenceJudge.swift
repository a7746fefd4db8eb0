import Status

/// What is demanded of a ratio.
private enum ConvergenceDemand {
    /// A loss is at most, or at least, by such a part larger than another.
    case excessAtMost(Double)
    case excessAtLeast(Double)
    /// Something is at least such a part of something else.
    case shareAtLeast(Double)
    /// Something takes another so many times as long, at least.
    case timesAtLeast(Double)

    func isMet(by value: Double) -> Bool {
        switch self {
        case .excessAtMost(let bound): value <= 1 + bound
        case .excessAtLeast(let bound): value >= 1 + bound
        case .shareAtLeast(let bound), .timesAtLeast(let bound): value >= bound
        }
    }

    var text: String {
        switch self {
        case .excessAtMost(let bound): "at most +\(Figures.fixed(100 * bound, digits: 0)) %"
        case .excessAtLeast(let bound): "at least +\(Figures.fixed(100 * bound, digits: 0)) %"
        case .shareAtLeast(let bound): "at least \(Figures.fixed(100 * bound, digits: 0)) %"
        case .timesAtLeast(let bound): "at least \(Figures.fixed(bound, digits: 0))x shorter"
        }
    }

    func text(of value: Double) -> String {
        switch self {
        case .excessAtMost, .excessAtLeast: Figures.difference(value)
        case .shareAtLeast: Figures.percent(value)
        case .timesAtLeast: Figures.fixed(value, digits: 2) + "x"
        }
    }
}

/// Judges the runs of one comparison.
///
/// All of it is under the straggler, by means over seeds. Values are ratios, so that 1.01 is 1 %
/// more.
struct ConvergenceJudge {
    /// How far above synchronous training's final loss the target is that times are taken to.
    static let targetFactor = 1.02

    private let groups: [ConvergenceGroup]

    init(_ results: [ConvergenceResult]) { groups = ConvergenceGroup.groups(of: results) }

    /// All that is asked, in the order of the page.
    var verdicts: [Verdict] { rawLosses + codedLosses + speeds + controls }

    /// Methods beside synchronous training.
    private var rawLosses: [Verdict] {
        let bounds = [("edit", 0.01), ("a-edit", 0.01), ("async", 0.02)]
        return bounds.map { method, bound in
            loss(
                of: Self.run(method), beside: Self.run(ConvergenceMethod.reference),
                .excessAtMost(bound))
        }
    }

    /// Methods with a codec beside themselves without.
    private var codedLosses: [Verdict] {
        ConvergenceMethod.coded.flatMap { method, codecs in
            (codecs + others(method, besides: codecs)).map { codec in
                loss(
                    of: Self.run(method, codec), beside: Self.run(method), .excessAtMost(0.01))
            }
        }
    }

    /// What a straggler must not cost.
    private var speeds: [Verdict] {
        let (run, reference) = (Self.run("a-edit"), Self.run(ConvergenceMethod.reference))
        let factor = Self.targetFactor
        let target = Figures.fixed(100 * factor, digits: 0) + " %"
        return [
            verdict(
                "\(run.title): tokens/s beside the sum of the workers' own speeds",
                .shareAtLeast(0.97), [run]
            ) { found in
                found[0].mean { $0.speed / $0.speedOfWorkers }
            },
            verdict(
                "\(run.title): virtual time to \(target) beside \(reference.title)",
                .timesAtLeast(2), [run, reference]
            ) { found in
                let loss = factor * found[1].mean(\.heldOutLoss)
                guard let seconds = found[0].seconds(to: loss),
                    let base = found[1].seconds(to: loss)
                else { return nil }
                return base / seconds
            },
        ]
    }

    /// What must do harm, and what must keep harm away.
    private var controls: [Verdict] {
        [
            loss(of: Self.run("async-plain"), beside: Self.run("async"), .excessAtLeast(0.05)),
            loss(of: Self.run("corrupted"), beside: Self.run("edit"), .excessAtLeast(0.03)),
            loss(of: Self.run("corrupted-guarded"), beside: Self.run("edit"), .excessAtMost(0.03)),
        ]
    }

    // MARK: Parts

    private static func run(_ method: String, _ codec: String = "raw") -> ConvergenceCase {
        ConvergenceCase(method: method, codec: codec, condition: .straggler)
    }

    /// More codecs that there are runs of `method` with.
    private func others(_ method: String, besides codecs: [String]) -> [String] {
        groups.map(\.run).filter { run in
            run == Self.run(method, run.codec) && run.codec != "raw" && !codecs.contains(run.codec)
        }
        .map(\.codec)
    }

    private func loss(
        of run: ConvergenceCase, beside other: ConvergenceCase, _ demand: ConvergenceDemand
    ) -> Verdict {
        let requirement = "\(run.title): held-out loss beside \(other.title)"
        return verdict(requirement, demand, [run, other]) { found in
            found[0].mean(\.heldOutLoss) / found[1].mean(\.heldOutLoss)
        }
    }

    /// Measures a ratio of `runs`, whose groups `measure` gets in the same order, if all are there.
    ///
    /// What no ratio can be had of does not meet anything.
    private func verdict(
        _ requirement: String, _ demand: ConvergenceDemand, _ runs: [ConvergenceCase],
        _ measure: ([ConvergenceGroup]) -> Double?
    ) -> Verdict {
        let found = runs.compactMap { run in groups.first { $0.run == run } }
        guard found.count == runs.count else {
            return Verdict(
                requirement: requirement, asked: demand.text, measured: "-", value: nil,
                met: .notRun)
        }
        guard let value = measure(found), value.isFinite else {
            return Verdict(
                requirement: requirement, asked: demand.text,
                measured: "not reached, \(Self.seeds(found))", value: nil, met: .no)
        }
        return Verdict(
            requirement: requirement, asked: demand.text,
            measured: "\(demand.text(of: value)), \(Self.seeds(found))", value: value,
            met: demand.isMet(by: value) ? .yes : .no)
    }

    /// How many seeds the means are over: one number, or one for each group.
    private static func seeds(_ found: [ConvergenceGroup]) -> String {
        let counts = found.map(\.results.count)
        if Set(counts) == [1] { return "1 seed" }
        let shown = Set(counts).count == 1 ? counts.prefix(1) : counts[...]
        return shown.map { "\($0)" }.joined(separator: " and ") + " seeds"
    }
}
