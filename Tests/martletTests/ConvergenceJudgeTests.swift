import Foundation
import Testing

@testable import martlet

@Suite("Convergence, what was asked")
struct ConvergenceJudgeTests {
    /// A run that is nothing but what verdicts are made of.
    struct Outline {
        var loss: Double
        /// Tokens per second as a share of what the workers would make.
        var share = 0.99
        /// Virtual seconds until the loss was there.
        var arrival = 1000.0

        func result(
            _ method: String, _ codec: String, seed: UInt64,
            condition: ConvergenceCondition = .straggler
        ) -> ConvergenceResult {
            let plan = ConvergencePlan()
            let worker = ConvergenceResult.Worker(
                name: "w", steps: 100, busySeconds: 100, bytesUp: 1, bytesDown: 1)
            let speed = share * 4 * Double(plan.tokensPerStep)
            return ConvergenceResult(
                plan: plan, run: .init(method: method, codec: codec, condition: condition),
                seed: seed, parameters: 1, heldOutLoss: loss,
                appliedTokens: Int((1000 * speed).rounded()), lostTokens: 0, seconds: 1000,
                warmupTokens: 0, warmupSeconds: 0, appliedContributions: 1, missedContributions: 0,
                workers: [worker, worker, worker, worker],
                curve: [.init(tokens: 1, seconds: arrival, loss: loss)])
        }
    }

    /// One run of each kind, by method and codec, that together meet all that is asked.
    static let outlines: [String: Outline] = {
        var outlines = [
            "dp raw": Outline(loss: 1), "edit raw": Outline(loss: 1.005),
            "a-edit raw": Outline(loss: 1.008, arrival: 400), "async raw": Outline(loss: 1.015),
            "async-plain raw": Outline(loss: 1.2), "corrupted raw": Outline(loss: 1.1),
            "corrupted-guarded raw": Outline(loss: 1.02),
        ]
        for (method, codecs) in ConvergenceMethod.coded {
            let loss = 1.004 * (outlines["\(method) raw"]?.loss ?? 0)
            for codec in codecs { outlines["\(method) \(codec)"] = Outline(loss: loss) }
        }
        return outlines
    }()

    /// Of `outlines`, twice each.
    static func results(
        _ outlines: [String: Outline], condition: ConvergenceCondition = .straggler
    ) -> [ConvergenceResult] {
        outlines.sorted { $0.key < $1.key }.flatMap { name, outline -> [ConvergenceResult] in
            let words = name.split(separator: " ").map(String.init)
            return ([1, 2] as [UInt64]).map { seed in
                outline.result(words[0], words[1], seed: seed, condition: condition)
            }
        }
    }

    @Test("Where all is met, all is said to be")
    func met() throws {
        let verdicts = ConvergenceJudge(Self.results(Self.outlines)).verdicts
        for verdict in verdicts { #expect(verdict.met == .yes, "\(verdict)") }
        // Three methods, ten codecs of theirs, two speeds, three controls.
        #expect(verdicts.count == 18)
        #expect(Set(verdicts.map(\.requirement)).count == 18)
        #expect(
            verdicts.first
                == Verdict(
                    requirement: "EDiT: held-out loss beside synchronous", asked: "at most +1 %",
                    measured: "+0.50 %, 2 seeds", value: 1.005, met: .yes))
        let time = try #require(verdicts.first { $0.requirement.contains("virtual time") })
        #expect(time.asked == "at least 2x shorter" && time.measured == "2.50x, 2 seeds")
        #expect(time.value == 2.5)
        let speed = try #require(verdicts.first { $0.requirement.contains("tokens/s") })
        #expect(speed.asked == "at least 97 %" && speed.measured == "99.0 %, 2 seeds")
    }

    static let misses: [(run: String, outline: Outline, requirement: String)] = [
        ("edit raw", Outline(loss: 1.013), "EDiT: held-out loss beside synchronous"),
        (
            "a-edit raw", Outline(loss: 1.013, arrival: 400),
            "A-EDiT: held-out loss beside synchronous"
        ),
        ("async raw", Outline(loss: 1.022), "asynchronous: held-out loss beside synchronous"),
        ("edit int4", Outline(loss: 1.018), "EDiT, int4: held-out loss beside EDiT"),
        ("a-edit topk", Outline(loss: 1.02), "A-EDiT, topk: held-out loss beside A-EDiT"),
        (
            "async topk/256", Outline(loss: 1.028),
            "asynchronous, topk/256: held-out loss beside asynchronous"
        ),
        (
            "a-edit raw", Outline(loss: 1.008, share: 0.96, arrival: 400),
            "A-EDiT: tokens/s beside the sum of the workers' own speeds"
        ),
        (
            "a-edit raw", Outline(loss: 1.008, arrival: 510),
            "A-EDiT: virtual time to 102 % beside synchronous"
        ),
        (
            "async-plain raw", Outline(loss: 1.06),
            "asynchronous, plain Nesterov: held-out loss beside asynchronous"
        ),
        (
            "corrupted raw", Outline(loss: 1.03),
            "EDiT, one worker on random tokens, penalty off: held-out loss beside EDiT"
        ),
        (
            "corrupted-guarded raw", Outline(loss: 1.04),
            "EDiT, one worker on random tokens, penalty on: held-out loss beside EDiT"
        ),
    ]

    @Test("What is missed is said to be, and nothing else", arguments: misses.indices)
    func missed(_ index: Int) {
        let miss = Self.misses[index]
        var outlines = Self.outlines
        outlines[miss.run] = miss.outline
        let verdicts = ConvergenceJudge(Self.results(outlines)).verdicts
        #expect(verdicts.filter { $0.met == .no }.map(\.requirement) == [miss.requirement])
        #expect(verdicts.filter { $0.met == .yes }.count == verdicts.count - 1)
    }

    @Test("What a run is missing for is not judged, the rest is")
    func notRun() {
        let needed = [
            "dp raw": 4, "edit raw": 5, "edit topk/256": 1, "a-edit raw": 9, "async raw": 4,
            "corrupted raw": 1,
        ]
        for (run, count) in needed.sorted(by: { $0.key < $1.key }) {
            var outlines = Self.outlines
            outlines[run] = nil
            let verdicts = ConvergenceJudge(Self.results(outlines)).verdicts
            let open = verdicts.filter { $0.met == .notRun }
            #expect(open.count == count, "without \(run)")
            #expect(open.allSatisfy { $0.measured == "-" && $0.value == nil })
            #expect(verdicts.filter { $0.met == .yes }.count == 18 - count, "without \(run)")
        }
        // Equal machines are not what was asked about.
        let even = ConvergenceJudge(Self.results(Self.outlines, condition: .even)).verdicts
        #expect(even.count == 18 && even.allSatisfy { $0.met == .notRun })
    }

    @Test("Losses are means over seeds; a time is none unless all seeds got there")
    func means() throws {
        func verdicts(_ losses: [(method: String, losses: [Double])]) -> [Verdict] {
            ConvergenceJudge(
                losses.flatMap { method, losses in
                    losses.enumerated().map { index, loss in
                        Outline(loss: loss).result(method, "raw", seed: UInt64(index + 1))
                    }
                }
            ).verdicts
        }
        // The first seed's loss alone is 6 % above.
        let close = verdicts([("dp", [1, 1.1]), ("edit", [1.06, 1.05])])
        #expect(close[0].met == .yes && close[0].measured == "+0.48 %, 2 seeds")
        let unequal = verdicts([("dp", [1, 1.02, 1.01]), ("edit", [1.03])])
        #expect(unequal[0].met == .no && unequal[0].measured == "+1.98 %, 1 and 3 seeds")
        // The second seed ends above the target.
        let late = verdicts([("dp", [1, 1]), ("a-edit", [0.99, 1.025])])
        let time = try #require(late.first { $0.requirement.contains("virtual time") })
        #expect(time.met == .no && time.value == nil)
        #expect(time.measured == "not reached, 2 seeds")
    }

    @Test("A codec that nobody asked for is judged as well")
    func moreCodecs() {
        var outlines = Self.outlines
        outlines["edit topk/64"] = Outline(loss: 1.5)
        let missed = ConvergenceJudge(Self.results(outlines)).verdicts.filter { $0.met == .no }
        #expect(missed.map(\.requirement) == ["EDiT, topk/64: held-out loss beside EDiT"])
    }

    @Test("The page and JSON have every verdict")
    func shown() throws {
        var outlines = Self.outlines
        outlines["edit int4"] = Outline(loss: 1.05)
        outlines["corrupted raw"] = nil
        let results = Self.results(outlines)
        let page = try #require(ConvergenceReport(results, plotFolder: "p")).markdown
        for verdict in ConvergenceJudge(results).verdicts {
            let row =
                "| \(verdict.requirement) | \(verdict.asked) | \(verdict.measured) |"
                + " \(verdict.met.rawValue) |"
            #expect(page.contains(row))
            let json = try verdict.jsonLine()
            #expect(json.contains("\"met\":\"\(verdict.met.rawValue)\""))
            #expect(json.contains("\"measured\":\"\(verdict.measured)\""))
        }
        #expect(page.contains("beside EDiT | at most +1 % | +4.48 %, 2 seeds | no |"))
        #expect(page.contains("beside EDiT | at least +3 % | - | not run |"))
        // In the table of all methods: of synchronous, of raw.
        #expect(page.contains("| EDiT, int4 | 2 | 1.0500 ± 0.0000 | +5.00 % | +4.48 % |"))
        #expect(page.contains("| EDiT | 2 | 1.0050 ± 0.0000 | +0.50 % | - |"))
        #expect(page.contains("a quarter of the text is lost"))
        #expect(page.contains("perl-doc and python3-doc"))
        #expect(page.contains("synchronous training has no coded runs"))
    }

    @Test("What is asked of codecs is what `make convergence` runs")
    func script() throws {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .resolvingSymlinksInPath().deletingLastPathComponent().deletingLastPathComponent()
        let script = try String(
            contentsOf: root.appendingPathComponent("deploy/convergence.sh"), encoding: .utf8)
        var runs: Set<String> = []
        for line in script.split(separator: "\n") where line.hasPrefix("methods=") {
            let lists = line.split(separator: " ").prefix(2).map { word in
                word.split(separator: "=")[1].split(separator: ",")
            }
            for method in lists[0] {
                for codec in lists[1] { runs.insert("\(method) \(codec)") }
            }
        }
        #expect(runs == Set(Self.outlines.keys))
    }
}
