import ArgumentParser
import Foundation
import MoE
import Tensors
import Testing

@testable import martlet

@Suite("Decoding, measured")
struct DecodeBenchmarkTests {
    /// 4 of 8 experts in two of three layers.
    static let model: ModelConfiguration = {
        var model = ModelConfiguration(
            vocabularySize: 96, hiddenSize: 32, layers: 3, heads: 2, keyValueHeads: 1,
            headWidth: 16, experts: 8, expertsPerToken: 4, expertHiddenSize: 24, positionsMax: 64)
        model.denseLayers = [0]
        model.denseHiddenSize = 48
        return model
    }()
    static let bytesPerExpert = 3 * 32 * 24 * 4

    static let fixtures = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().appendingPathComponent("Fixtures")

    /// 11 steps are a whole turn and a part of one.
    static func plan(_ routing: RoutingMethod, batch: Int = 3) -> DecodeBenchmark.Plan {
        DecodeBenchmark.Plan(batch: batch, routing: routing, prompt: 5, tokens: 11)
    }

    /// Of the model above.
    static func measured(
        _ plan: DecodeBenchmark.Plan
    ) throws -> (result: DecodeBenchmark.Result, report: DecodeReport) {
        let subject = try DecodeSubject.fresh(model, named: "test", plan)
        let result = DecodeBenchmark(plan, subject: subject).run()
        return (result, DecodeReport(plan, subject, result))
    }

    static func expectBytes(_ report: DecodeReport, perExpert bytes: Int) {
        let expected = Double(report.expertLayers * bytes) * report.distinctExperts
        #expect(abs(Double(report.expertBytesPerStep) - expected) < 1)
    }

    @Test("By plain top-k every token has K experts, and bytes are those of distinct ones")
    func plainTopK() throws {
        let (result, report) = try Self.measured(Self.plan(.topk))
        #expect(result.beam == nil && result.closed == nil && report.speedup == nil)
        // Without the steps that only warm caches.
        #expect(result.topk.seconds.count == 11)
        #expect(result.topk.activity.passes == 11 * 2)
        #expect(result.topk.activity.tokens == 11 * 2 * 3)
        #expect(report.activePerToken == 4 && report.emptyShare == 0)
        #expect(report.distinctExperts > 4 && report.distinctExperts <= 8)
        Self.expectBytes(report, perExpert: Self.bytesPerExpert)
        #expect(abs(report.tokensPerS * report.stepMs - 3000) < 1e-6)
    }

    @Test("A single sequence reads an expert for each slot, and in bf16 half the bytes")
    func singleSequence() throws {
        var plan = Self.plan(.topk, batch: 1)
        #expect(try Self.measured(plan).report.expertBytesPerStep == 2 * 4 * Self.bytesPerExpert)
        plan.precision = .bf16
        let report = try Self.measured(plan).report
        #expect(report.dtype == "bf16" && report.distinctExperts == 4)
        #expect(report.expertBytesPerStep == 2 * 4 * Self.bytesPerExpert / 2)
    }

    @Test("Fresh masks close nothing, and nothing is predicted of them")
    func freshMasks() throws {
        let (result, report) = try Self.measured(Self.plan(.beam))
        #expect(result.beam?.activity == result.topk.activity)
        #expect(report.bias == 0 && report.threshold == 0.5)
        #expect(report.rowRatio == 1 && report.expertRatio == 1 && report.predictedSpeedup == 1)
        let closed = try #require(result.closed)
        #expect(closed.seconds.count == 11 && closed.activity.rows == 0)
        #expect(closed.activity.experts == 0 && closed.activity.empty == closed.activity.tokens)
    }

    @Test("A threshold above what fresh masks say closes everything")
    func threshold() throws {
        var plan = Self.plan(.beam)
        plan.threshold = 0.6
        let (result, report) = try Self.measured(plan)
        #expect(report.activePerToken == 0 && report.distinctExperts == 0)
        #expect(report.expertBytesPerStep == 0 && report.emptyShare == 1)
        #expect(report.rowRatio == 0 && report.topkDistinctExperts ?? 0 > 4)
        #expect(result.topk.activity.rowsPerToken == 4)
    }

    @Test("Random masks leave as many slots live as was asked for", arguments: [0.5, 1.5, 3])
    func liveSlots(live: Double) throws {
        var plan = Self.plan(.beam)
        plan.live = live
        plan.threshold = 0.3
        let (result, report) = try Self.measured(plan)
        #expect(abs(report.activePerToken - live) < 0.25)
        #expect(abs((report.rowRatio ?? 0) - report.activePerToken / 4) < 1e-9)
        #expect(report.distinctExperts >= report.activePerToken)
        #expect(report.distinctExperts <= min(3 * report.activePerToken, 8))
        Self.expectBytes(report, perExpert: Self.bytesPerExpert)
        // The same every time.
        #expect(try Self.measured(plan).result.beam?.activity == result.beam?.activity)
    }

    @Test("The speed-up predicted is that of the experts' time by the greater ratio")
    func prediction() {
        func comparison(other: Double, rows: Double, experts: Double) -> DecodeComparison {
            DecodeComparison(
                topkStepMs: 10, beamStepMs: 8, otherMs: other, rowRatio: rows,
                expertRatio: experts)
        }
        let reading = comparison(other: 4, rows: 0.5, experts: 0.75)
        #expect(reading.speedup == 1.25)
        #expect(abs(reading.predictedSpeedup - 10 / 8.5) < 1e-12)
        #expect(abs(reading.ofPredicted - 1.25 * 8.5 / 10) < 1e-12)
        let computing = comparison(other: 4, rows: 0.75, experts: 0.5)
        #expect(computing.predictedSpeedup == reading.predictedSpeedup)
        #expect(comparison(other: 4, rows: 0, experts: 0).predictedSpeedup == 2.5)
        #expect(comparison(other: 10.5, rows: 0.5, experts: 0.5).predictedSpeedup == 1)
    }

    @Test("A size is decoded, and both reports say what came of it")
    func size() throws {
        let plan = DecodeBenchmark.Plan(
            batch: 2, routing: .beam, threads: 2, prompt: 4, tokens: 4, live: 2)
        let size = TrainBenchmark.Size.tiny
        let subject = try DecodeSubject.fresh(
            size.configuration, named: size.rawValue, plan)
        let result = DecodeBenchmark(plan, subject: subject).run()
        let line = try DecodeReport(plan, subject, result).jsonLine()
        let json = try #require(
            JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
        func number(_ key: String) throws -> Double {
            try #require(json[key] as? NSNumber).doubleValue
        }

        #expect(!line.contains("\n") && json["model"] as? String == "tiny")
        let active = try number("active_per_token")
        #expect(active > 1 && active < 3)
        let distinct = try number("distinct_experts")
        #expect(distinct >= active && distinct <= 2 * active)
        let bytes = try number("expert_bytes_per_step")
        #expect(abs(bytes - 4 * distinct * Double(3 * 256 * 128 * 4)) < 1)
        let (step, topk) = (try number("step_ms"), try number("topk_step_ms"))
        let speed = try number("tokens_per_s")
        #expect(step > 0 && abs(speed * step - 2000) < 1e-3)
        let (speedup, predicted) = (try number("speedup"), try number("predicted_speedup"))
        #expect(abs(speedup - topk / step) < 1e-9 * speedup)
        let ofPredicted = try number("of_predicted")
        #expect(abs(ofPredicted - speedup / predicted) < 1e-9 * ofPredicted)
        let other = try number("other_ms")
        let ratio = max(try number("row_ratio"), try number("expert_ratio"))
        let expected = other < topk ? topk / (other + (topk - other) * ratio) : 1
        #expect(abs(predicted - expected) < 1e-9 * expected)

        let text = DecodeTable.text(plan, subject, result).split(separator: "\n")
        #expect(text.count == 6 && text.allSatisfy { $0.count <= 100 })
        #expect(text[2].hasPrefix("topk") && text[3].hasPrefix("beam"))
        #expect(text[4].hasPrefix("none") && text[5].hasPrefix("masks: "))
    }

    @Test(
        "A wrong command line is refused by the option's name",
        arguments: [
            ("--batch 0", "--batch: found 0"), ("--tokens 0", "--tokens: found 0"),
            ("--prompt 5000", "--prompt: found 5000"), ("--threads 0", "--threads: found 0"),
            ("--routing random", "--routing"), ("--size huge", "--size"),
            ("--dtype fp8", "--dtype"), ("--model m --size tiny", "--size: not with --model"),
            ("--text t", "--text: needs --model"),
            ("--threshold 0.5", "--threshold: needs --routing beam"),
            ("--routing beam --threshold 1", "--threshold: found 1"),
            ("--routing beam --threshold nan", "--threshold: found nan"),
            ("--live 2", "--live: needs --routing beam"),
            ("--routing beam --live 0", "--live: found 0"),
            ("--routing beam --live 4.5", "--live: found 4.5"),
            ("--routing beam --live 2 --model m", "--live: not with --model"),
        ])
    func wrongCommandLines(options: String, message: String) {
        let arguments = ["bench", "decode"] + options.split(separator: " ").map(String.init)
        let error = #expect(throws: (any Error).self) { try Martlet.parseAsRoot(arguments) }
        let text = error.map { Martlet.message(for: $0) } ?? ""
        #expect(text.contains(message), "\(text)")
    }

    @Test("What is right is taken")
    func rightCommandLine() throws {
        let options = "--size small --batch 16 --routing beam --live 1.5 --threshold 0.4 --json"
        let command = try Martlet.parseAsRoot(
            ["bench", "decode"] + options.split(separator: " ").map(String.init))
        let decode = try #require(command as? BenchDecodeCommand)
        #expect(decode.size == .small && decode.batch == 16 && decode.routing == .beam)
        #expect(decode.live == 1.5 && decode.threshold == 0.4 && decode.json)
    }
}
