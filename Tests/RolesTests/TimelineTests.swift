import Cluster
import LocalSGD
import Roles
import Synchronization
import Tensors
import Testing

/// What workers tell of their time, by the simulation's clock.
@Suite("Time lines of workers")
struct TimelineTests {
    private static func options(
        stepsAhead: Int, delay: ClosedRange<Duration> = .milliseconds(120)...(.milliseconds(240))
    ) -> SimulatedCluster.Options {
        var options = SimulatedCluster.Options()
        options.settings = SimulationTests.settings(rounds: 12)
        options.settings.overlap.steps = stepsAhead
        options.faults.delay = delay
        options.keepsTimelines = true
        return options
    }

    private static func spans(_ options: SimulatedCluster.Options) throws -> [Span] {
        let cluster = SimulatedCluster(options)
        #expect(try cluster.run().phase == .finished)
        return cluster.timelines.withLock { $0["w0"] ?? [] }
    }

    private static let isStep: Set<Span.Activity> = [.warmupStep, .step, .stepAhead]
    private static let isSynchronising: Set<Span.Activity> = [
        .closeRound, .norms, .encode, .push, .pull, .adopt,
    ]

    /// Pairs of a step and a part of synchronising that go on at the same time.
    private static func overlaps(_ spans: [Span]) -> [(Span, Span)] {
        let parts = spans.filter { isSynchronising.contains($0.activity) }
        return spans.filter { isStep.contains($0.activity) }.flatMap { step in
            parts.filter { $0.began < step.ended && $0.ended > step.began }.map { (step, $0) }
        }
    }

    @Test("A round is its steps, its end, and for each module out and then in", arguments: [0, 3])
    func order(stepsAhead: Int) throws {
        let options = Self.options(stepsAhead: stepsAhead)
        let spans = try Self.spans(options)
        #expect(spans.allSatisfy { $0.began <= $0.ended })
        #expect(zip(spans, spans.dropFirst()).allSatisfy { $0.ended <= $1.ended })
        #expect(spans.first?.activity == .join)
        let modules = options.layout.modules.indices
        let warmup = options.settings.rounds.warmup
        for round in warmup..<options.settings.rounds.total {
            func all(_ activity: Span.Activity) -> [Span] {
                spans.filter { $0.activity == activity && $0.round == round }
            }
            let steps = all(.step) + all(.stepAhead)
            let close = try #require(all(.closeRound).first)
            #expect(close.steps == options.settings.rounds.syncInterval)
            #expect(steps.count == close.steps)
            #expect(steps.allSatisfy { $0.ended <= close.began })
            #expect(steps.allSatisfy { $0.ended - $0.began == .milliseconds(100) })
            let norms = try #require(all(.norms).first)
            #expect(norms.began >= close.ended)
            for module in modules {
                let way = try [Span.Activity.encode, .push, .pull, .adopt].map { activity in
                    try #require(all(activity).first { $0.module == module })
                }
                #expect(way[0].began >= norms.ended)
                #expect(zip(way, way.dropFirst()).allSatisfy { $1.began >= $0.ended })
                #expect(way[1].ended > way[1].began && way[2].ended > way[2].began)
            }
        }
        #expect(spans.filter { $0.activity == .warmupStep }.map(\.round) == Array(0..<warmup))
    }

    @Test("A worker that waits takes no step while it synchronises; one that goes on does")
    func overlap() throws {
        let waiting = try Self.spans(Self.options(stepsAhead: 0))
        #expect(waiting.contains { $0.activity == .push } && Self.overlaps(waiting).isEmpty)
        #expect(!waiting.contains { $0.activity == .stepAhead })
        let near = Duration.milliseconds(30)...(.milliseconds(60))
        let ahead = try Self.spans(Self.options(stepsAhead: 3, delay: near))
        let found = Self.overlaps(ahead)
        #expect(found.allSatisfy { $0.0.activity == .stepAhead })
        for activity in [Span.Activity.push, .pull] {
            #expect(found.contains { $0.1.activity == activity })
        }
    }

    /// Who waited for the slow step would take eight steps ahead instead of one or two.
    @Test("A round by time ends on time for all, whatever step is under way")
    func onTime() throws {
        var options = Self.options(stepsAhead: 8, delay: .milliseconds(5)...(.milliseconds(15)))
        options.settings = TimedRoundTests.timed(options.settings)
        options.settings.rounds.syncSeconds = 2.55
        options.settings.rounds.syncInterval = 16
        options.settings.observation.evaluateEvery = 0
        options.settings.observation.checkpointEvery = 0
        options.stepTimes = ["w0": .seconds(1)]
        let cluster = SimulatedCluster(options)
        #expect(try cluster.run().phase == .finished)
        let lines = cluster.timelines.withLock { $0 }
        let closings = lines.mapValues { spans in
            spans.filter { $0.activity == .closeRound && ($0.steps ?? 0) > 1 }.map(\.began)
        }
        let slow = try #require(closings["w0"])
        #expect(slow.count > 5)
        for name in ["w1", "w2"] {
            let spans = try #require(lines[name])
            let ahead = Dictionary(
                grouping: spans.filter { $0.activity == .stepAhead }, by: \.round)
            #expect(ahead.count > 5 && ahead.values.allSatisfy { $0.count <= 2 })
        }
        // The last round is shorter.
        for (before, after) in zip(slow, slow.dropFirst()).dropLast() {
            #expect(abs((after - before).inSeconds - 2.55) < 0.15)
            for name in ["w1", "w2"] {
                #expect(closings[name]?.contains { abs(($0 - after).inSeconds) < 0.05 } == true)
            }
        }
    }

    @Test("A run with time lines is the same run")
    func changesNothing() throws {
        var options = Self.options(stepsAhead: 3)
        let told = try SimulatedCluster(options).run()
        options.keepsTimelines = false
        let silent = try SimulatedCluster(options).run()
        #expect(told.digest == silent.digest)
        #expect(told.parameters == silent.parameters)
    }
}
