import Cluster
import LocalSGD
import Roles
import Synchronization
import Testing

/// T19 where updates or pulls are lossy: what they leave unsaid is part of what a run goes on from.
@Suite("Resumes with codecs")
struct CodedResumeTests {
    private func options(_ codec: String, _ pullCodec: String) -> SimulatedCluster.Options {
        var options = CodedPullTests.options(pullCodec, rounds: 14)
        options.settings.codec = codec
        options.settings.pulls.fullEvery = 9
        options.settings.observation.checkpointEvery = 1
        return options
    }

    private static let codecs = [
        ("topk/512", "raw"), ("raw", "topk/512"), ("topk/512", "topk/144"), ("int4/plain", "auto"),
        ("topk", "auto"),
    ]

    @Test("T19: a resumed run has the bits of one that went on", arguments: codecs)
    func t19(codec: String, pullCodec: String) throws {
        let first = SimulatedCluster(options(codec, pullCodec))
        let whole = try first.run()
        let kept = first.checkpoints.withLock { $0 }
        for version in [1, 2, 3, 6, 9, 13] as [UInt64] {
            var options = options(codec, pullCodec)
            options.origin = SimulatedCluster.origin(from: try #require(kept[version]))
            let second = SimulatedCluster(options)
            second.saved.withLock { $0 = first.saved.withLock { $0 } }
            let outcome = try second.run()
            #expect(outcome.parameters == whole.parameters, "from version \(version)")
            #expect(outcome.shadow == whole.shadow, "from version \(version)")
            #expect(outcome.momentum == whole.momentum, "from version \(version)")
        }
    }

    @Test("State of a worker that was kept without residuals still loads")
    func withoutResidual() throws {
        let first = SimulatedCluster(options("topk/512", "raw"))
        let whole = try first.run()
        var options = options("topk/512", "raw")
        options.origin = SimulatedCluster.origin(
            from: try #require(first.checkpoints.withLock { $0[8] }))
        let second = SimulatedCluster(options)
        second.saved.withLock { saved in
            saved = first.saved.withLock { $0 }
            for name in saved.keys { saved[name]?.residual = nil }
        }
        let outcome = try second.run()
        #expect(outcome.phase == .finished)
        #expect(outcome.parameters != whole.parameters)
    }

    @Test("A checkpoint never changes the trajectory of coded pulls")
    func checkpointsAreHarmless() throws {
        func outcome(every: Int) throws -> SimulatedCluster.Outcome {
            var options = options("topk/512", "topk/144")
            options.settings.observation.checkpointEvery = every
            return try SimulatedCluster(options).run()
        }
        let (some, none) = (try outcome(every: 1), try outcome(every: 0))
        #expect(some.parameters == none.parameters)
        #expect(some.shadow == none.shadow)
    }

    @Test("Without rounds a run goes on with what workers have")
    func withoutRounds() throws {
        var options = options("topk/512", "topk/144")
        options.settings.mode = .asynchronous
        let first = SimulatedCluster(options)
        #expect(try first.run().phase == .finished)
        let kept = try #require(first.checkpoints.withLock { $0[8] })
        #expect(kept.shadow.count == kept.parameters.count)
        options.origin = SimulatedCluster.origin(from: kept)
        let outcome = try SimulatedCluster(options).run()
        #expect(outcome.phase == .finished)
        #expect(outcome.record?.version == 14)
    }
}
