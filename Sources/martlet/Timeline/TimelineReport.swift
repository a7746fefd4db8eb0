import Roles

/// What a time line says of a worker's steps, and of what synchronising costs them.
///
/// It is about whole rounds behind the warm-up, from where one closes to where the next does, so
/// that a round has all of its own synchronising in it and nobody else's. Rounds in which the
/// worker measured held-out loss, kept its state or joined again are left out: they take longer
/// for that.
struct TimelineReport: Encodable, Sendable, Equatable {
    /// What a worker does while no step is under way.
    ///
    /// Where it does several things, the first of these counts.
    enum Pause: String, CaseIterable, Sendable {
        case closing
        case pulling
        case pushing
        case asking
        case resting
        case other
    }

    var worker: String
    /// The first and the last round, and how many there are in between that count.
    var firstRound: Int
    var lastRound: Int
    var rounds: Int
    var roundsLeftOut: Int
    /// From the first round's begin to the last one's end, without those left out.
    var seconds: Double
    /// Inner steps that the updates of these rounds are made of.
    var steps: Int
    /// Steps taken and thrown away, because a round did not begin with them.
    var voidSteps: Int
    var stepMsMean: Double
    var stepMsMedian: Double
    /// Of the steps during which nothing else was under way; nothing if there are none.
    var aloneStepMsMean: Double?
    var aloneSteps: Int
    /// Of the others.
    var besideStepMsMean: Double?
    var besideSteps: Int
    /// How many times as long steps take beside something else, by the means.
    var besideRatio: Double?
    /// Share of the time in which no step was under way, and by what there was instead.
    var pausedShare: Double
    var pausedShareBy: [String: Double]
    /// What a step takes longer than one alone, rounds taken as a whole, in per cent.
    var costPercent: Double?
    /// Whether the file was full before the worker was done.
    var isCut: Bool

    /// Of the rounds among `wanted`, or of all; nothing if there is no whole round.
    init?(_ timeline: Timeline, rounds wanted: ClosedRange<Int>? = nil) {
        let spans = timeline.spans
        let all = MeasuredRound.all(in: spans).filter { wanted?.contains($0.number) ?? true }
        let kept = all.filter { !$0.isDisturbed }
        guard let first = kept.first, let last = kept.last else { return nil }
        worker = timeline.name
        isCut = timeline.isCut
        firstRound = first.number
        lastRound = last.number
        rounds = kept.count
        roundsLeftOut = all.count - kept.count
        seconds = kept.reduce(0) { $0 + ($1.ended - $1.began).seconds }
        steps = kept.reduce(0) { $0 + $1.steps }

        let sampled = Self.steps(in: kept, of: spans)
        let others = Beside(spans.filter { $0.activity.lane != .steps })
        let times = sampled.map { (ms: $0.milliseconds, isAlone: !others.overlap($0)) }
        let (alone, beside) = (times.filter(\.isAlone), times.filter { !$0.isAlone })
        voidSteps = max(times.count - steps, 0)
        func mean(_ times: [(ms: Double, isAlone: Bool)]) -> Double {
            times.reduce(0) { $0 + $1.ms } / Double(max(times.count, 1))
        }
        stepMsMean = mean(times)
        stepMsMedian = times.map(\.ms).median
        aloneSteps = alone.count
        besideSteps = beside.count
        aloneStepMsMean = alone.isEmpty ? nil : mean(alone)
        besideStepMsMean = beside.isEmpty ? nil : mean(beside)
        if let aloneStepMsMean, aloneStepMsMean > 0 {
            besideRatio = besideStepMsMean.map { $0 / aloneStepMsMean }
            if steps > 0 {
                costPercent = 100 * (1000 * seconds / Double(steps) / aloneStepMsMean - 1)
            }
        }
        let paused = Self.paused(in: kept, of: spans)
        let whole = max(seconds, .leastNonzeroMagnitude)
        pausedShare = paused.reduce(0) { $0 + $1.value } / whole
        pausedShareBy = paused.reduce(into: [:]) { $0[$1.key.rawValue] = $1.value / whole }
    }

    /// The steps that began in one of `rounds`, which are in order.
    private static func steps(in rounds: [MeasuredRound], of spans: [Span]) -> [Span] {
        var steps: [Span] = []
        var index = 0
        let ordered = spans.filter { $0.activity == .step || $0.activity == .stepAhead }
            .sorted { $0.began < $1.began }
        for step in ordered {
            while index < rounds.count, rounds[index].ended <= step.began { index += 1 }
            guard index < rounds.count else { break }
            if rounds[index].began <= step.began { steps.append(step) }
        }
        return steps
    }

    // MARK: Pauses

    /// Seconds of `rounds` in which no step was under way, by what there was.
    private static func paused(
        in rounds: [MeasuredRound], of spans: [Span]
    ) -> [Pause: Double] {
        // What begins or ends at a time: nothing stands for a round, and a step for a step.
        var edges: [(time: Duration, what: Edge, change: Int)] = []
        for round in rounds {
            edges += [(round.began, .round, 1), (round.ended, .round, -1)]
        }
        for span in spans {
            let what: Edge = span.activity.pause.map(Edge.pause) ?? .step
            edges += [(span.began, what, 1), (span.ended, what, -1)]
        }
        edges.sort { $0.time < $1.time }
        var active: [Edge: Int] = [:]
        var paused: [Pause: Double] = [:]
        var now = Duration.zero
        for edge in edges {
            if edge.time > now, active[.round] ?? 0 > 0, active[.step] ?? 0 == 0 {
                let pause = Pause.allCases.first { active[.pause($0)] ?? 0 > 0 } ?? .other
                paused[pause, default: 0] += (edge.time - now).seconds
            }
            now = edge.time
            active[edge.what, default: 0] += edge.change
        }
        return paused
    }

    private enum Edge: Hashable {
        case round
        case step
        case pause(Pause)
    }
}

/// A round from where the one before closed to where it did.
struct MeasuredRound: Sendable, Equatable {
    var number: Int
    var steps: Int
    var began: Duration
    var ended: Duration
    /// Whether something happened in it that is not part of synchronising.
    var isDisturbed: Bool

    /// All whole rounds behind the warm-up, in order.
    static func all(in spans: [Span]) -> [MeasuredRound] {
        let warmup = spans.last { $0.activity == .warmupStep }?.round ?? -1
        // A push that is repeated finds its round closed: the first time counts.
        var closed: [Span] = []
        for span in spans.sorted(by: { $0.began < $1.began }) where span.activity == .closeRound {
            if let round = span.round, round > warmup, round > closed.last?.round ?? -1 {
                closed.append(span)
            }
        }
        let disturbing: Set<Span.Activity> = [.evaluate, .save, .join]
        let disturbances = Beside(spans.filter { disturbing.contains($0.activity) })
        return zip(closed, closed.dropFirst()).map { before, close in
            let whole = Span(.closeRound, began: before.began, ended: close.began)
            return MeasuredRound(
                number: close.round ?? 0, steps: close.steps ?? 0, began: before.began,
                ended: close.began, isDisturbed: disturbances.overlap(whole))
        }
    }
}

/// Finds out fast whether any of many spans overlaps another one.
private struct Beside {
    private let began: [Duration]
    /// For each span the latest end up to it.
    private let ended: [Duration]

    init(_ spans: [Span]) {
        let ordered = spans.sorted { $0.began < $1.began }
        began = ordered.map(\.began)
        var latest = Duration.zero
        ended = ordered.map { span in
            latest = max(latest, span.ended)
            return latest
        }
    }

    func overlap(_ span: Span) -> Bool {
        // The number of those that began before `span` ended.
        var (low, high) = (0, began.count)
        while low < high {
            let middle = (low + high) / 2
            if began[middle] < span.ended { low = middle + 1 } else { high = middle }
        }
        return low > 0 && ended[low - 1] > span.began
    }
}

extension Span {
    var milliseconds: Double { 1000 * (ended - began).seconds }
}

extension Span.Activity {
    /// What this is while no step is under way; nothing for a step.
    fileprivate var pause: TimelineReport.Pause? {
        switch self {
        case .warmupStep, .step, .stepAhead: nil
        case .closeRound, .norms: .closing
        case .pull, .adopt: .pulling
        case .encode, .push: .pushing
        case .join, .ask, .fetch: .asking
        case .grace, .rest: .resting
        case .evaluate, .save: .other
        }
    }
}
