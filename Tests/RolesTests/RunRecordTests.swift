import FoundationEssentials
import Roles
import Testing

@testable import LocalSGD

@Suite("Records of checkpoints")
struct RunRecordTests {
    /// As the first builds wrote it, but for most of its points.
    private static let earliest = """
        {
          "corpus" : 17840937835615594238,
          "history" : {
            "appliedContributions" : 28, "appliedTokens" : 212992,
            "bestHeldOutLoss" : 5.2460765530089875,
            "latestHeldOut" : { "loss" : 5.2460765530089875, "version" : 14 },
            "lostTokens" : 0, "missedContributions" : 0,
            "points" : [
              {
                "heldOutLoss" : 6.949882003114559, "round" : 0, "seconds" : 1.081103868,
                "tokens" : 2048, "trainLoss" : 6.947410880332187
              },
              { "round" : 1, "seconds" : 1.387106854, "tokens" : 4096 }
            ],
            "steps" : 208
          },
          "ledger" : { "next" : 1664, "open" : { }, "returned" : [ [3, 5] ] },
          "runID" : "00e1", "runName" : "demo",
          "settings" : {
            "codec" : "raw",
            "inner" : {
              "beta1" : 0.9, "beta2" : 0.95, "clipNorm" : 1, "epsilon" : 1e-08,
              "finalFraction" : 0.1, "learningRate" : 0.003, "method" : "adamw",
              "rejoinSteps" : 100, "warmupSteps" : 8, "weightDecay" : 0.1
            },
            "observation" : {
              "checkpointEvery" : 5, "evaluateEvery" : 4, "evaluationSequences" : 48
            },
            "outer" : {
              "clipNorm" : 10, "learningRate" : 0.7, "momentum" : 0.6, "nesterov" : true
            },
            "rounds" : {
              "batchSize" : 8, "deadlineSeconds" : 120, "minimumWorkers" : 2, "quorum" : 0.5,
              "syncInterval" : 16, "total" : 14, "warmup" : 8, "weighting" : "tokens"
            },
            "seed" : 1, "sequenceLength" : 128
          },
          "version" : 14
        }
        """

    private func read(_ text: String) throws -> RunRecord {
        try RunRecord(json: Data(text.utf8))
    }

    @Test("A record of an early build reads as what that build did")
    func earliest() throws {
        let record = try read(Self.earliest)
        #expect(record.version == 14)
        #expect(record.corpus == 17_840_937_835_615_594_238)
        #expect(record.history.points.count == 2)
        #expect(record.history.points[0].heldOutLoss == 6.949882003114559)
        #expect(record.ledger.next == 1664)
        #expect(record.ledger.returned == [3..<5])
        #expect(record.modules.isEmpty)
        var settings = RunRecord.earliest
        settings.inner.warmupSteps = 8
        settings.outer.clipNorm = 10
        settings.outer.momentum = 0.6
        settings.rounds.minimumWorkers = 2
        settings.rounds.total = 14
        settings.rounds.warmup = 8
        settings.rounds.weighting = .tokens
        settings.observation.checkpointEvery = 5
        #expect(record.settings == settings)
        #expect(settings.mode == .edit && !settings.penalty.detectsAnomalies)
        // Eight steps of warm-up and six rounds of sixteen: where its learning rate was.
        #expect(record.history.position == 104)
    }

    @Test("A record of this build reads back as it is")
    func today() throws {
        var history = RunHistory()
        history.position = 12.5
        history.append(RunHistory.Point(round: 3, tokens: 9, seconds: 0.1))
        var settings = RunSettings()
        settings.seed = .max
        settings.mode = .asynchronous
        settings.penalty.verdict = .worker
        settings.rounds.stepWeight = 1.0 / 3
        var clip = AdaptiveClip()
        _ = clip.factor(norm: 1.0 / 7)
        let record = RunRecord(
            runID: "5f3c", runName: "x", version: 4, settings: settings, ledger: Ledger(),
            history: history,
            modules: [ModuleRecord(version: .max, clip: clip, pushes: 1, period: 3)],
            corpus: .max)
        #expect(try RunRecord(json: JSONEncoder().encode(record)) == record)
    }

    @Test(
        "What every build has written must be there",
        arguments: ["corpus", "version", "ledger", "points", "steps", "runID", "next"])
    func missing(name: String) {
        let text = Self.earliest.replacing("\"\(name)\"", with: "\"another\"")
        #expect(throws: DecodingError.self) { try read(text) }
    }

    @Test("What is no record is an error", arguments: ["", "[]", "null", "{}", "3", "{\"a\":"])
    func mistakes(text: String) {
        #expect(throws: DecodingError.self) { try read(text) }
    }
}
