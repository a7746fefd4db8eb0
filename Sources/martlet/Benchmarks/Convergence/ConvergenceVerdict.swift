import Status

/// Something that the comparison is asked to show, what was measured of it, and whether that is
/// enough.
///
/// All of it is under the straggler, by means over seeds.
struct ConvergenceVerdict: Encodable, Equatable, Sendable {
    enum Outcome: String, Encodable, Sendable {
        case yes
        case no
        /// A run that it takes is not there.
        case notRun = "not run"
    }

    /// How far above synchronous training's final loss the target is that times are taken to.
    static let targetFactor = 1.02

    let requirement: String
    /// The bound, as the page has it.
    let asked: String
    /// As the page has it, and of how many seeds.
    let measured: String
    /// The same as a number: a ratio, so that 1.01 is 1 % more; nothing if there is none.
    let value: Double?
    let met: Outcome

    /// All that is asked, in the order of the page.
    static func all(of results: [ConvergenceResult]) -> [ConvergenceVerdict] {
        let judge = ConvergenceJudge(groups: ConvergenceGroup.groups(of: results))
        return judge.rawLosses + judge.codedLosses + judge.speeds + judge.controls
    }
}

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
        case .excessAtMost, .excessAtLeast: ConvergenceReport.difference(value)
        case .shareAtLeast: ConvergenceReport.percent(value)
        case .timesAtLeast: Figures.fixed(value, digits: 2) + "x"
        }
    }
}

/// Judges the runs of one comparison.
private struct ConvergenceJudge {
    let groups: [ConvergenceGroup]

    /// Methods beside synchronous training.
    var rawLosses: [ConvergenceVerdict] {
        let bounds = [("edit", 0.01), ("a-edit", 0.01), ("async", 0.02)]
        return bounds.map { method, bound in
            loss(
                of: Self.run(method), beside: Self.run(ConvergenceMethod.reference),
                .excessAtMost(bound))
        }
    }

    /// Methods with a codec beside themselves without.
    var codedLosses: [ConvergenceVerdict] {
        ConvergenceMethod.coded.flatMap { method, codecs in
            (codecs + others(method, besides: codecs)).map { codec in
                loss(
                    of: Self.run(method, codec), beside: Self.run(method), .excessAtMost(0.01))
            }
        }
    }

    /// What a straggler must not cost.
    var speeds: [ConvergenceVerdict] {
        let (run, reference) = (Self.run("a-edit"), Self.run(ConvergenceMethod.reference))
        let factor = ConvergenceVerdict.targetFactor
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
    var controls: [ConvergenceVerdict] {
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
    ) -> ConvergenceVerdict {
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
    ) -> ConvergenceVerdict {
        let found = runs.compactMap { run in groups.first { $0.run == run } }
        guard found.count == runs.count else {
            return ConvergenceVerdict(
                requirement: requirement, asked: demand.text, measured: "-", value: nil,
                met: .notRun)
        }
        guard let value = measure(found), value.isFinite else {
            return ConvergenceVerdict(
                requirement: requirement, asked: demand.text,
                measured: "not reached, \(Self.seeds(found))", value: nil, met: .no)
        }
        return ConvergenceVerdict(
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
