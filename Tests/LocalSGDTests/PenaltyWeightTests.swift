import FoundationEssentials
import LocalSGD
import Testing

@Suite("Weights by norm")
struct PenaltyWeightTests {
    private func shares(
        _ norms: [Double], tokens: [Int]? = nil, steps: [Int]? = nil, anomalous: Set<Int> = []
    ) -> [Penalty.Share] {
        norms.indices.map { index in
            Penalty.Share(
                worker: "w\(index)", tokens: tokens?[index] ?? 100, isObserving: false,
                norm: norms[index], steps: steps?[index] ?? 1,
                isAnomalous: anomalous.contains(index))
        }
    }

    private func isClose(_ left: [Double], _ right: [Double], within bound: Double) -> Bool {
        left.count == right.count && zip(left, right).allSatisfy { abs($0 - $1) <= bound }
    }

    private static let norms = [0.9, 1, 1.1, 1.5]

    @Test("T7: the softmax over negated norms gives .3056, .2765, .2502, .1677")
    func t7Softmax() {
        let weights = Penalty.weights(of: shares(Self.norms), by: .edit)
        #expect(isClose(weights, [0.3056, 0.2765, 0.2502, 0.1677], within: 5e-5))
        #expect(abs(weights.reduce(0, +) - 1) < 1e-15)
        // Another temperature is another scale.
        let scaled = Penalty.weights(
            of: shares(Self.norms.map { $0 * 8 }), by: .edit, temperature: 8)
        #expect(scaled == weights)
        #expect(Penalty.weights(of: shares(Self.norms), by: .edit, temperature: 0.5)[0] > 0.33)
    }

    @Test("T7: a constant added to all norms changes nothing, however large")
    func t7Shift() {
        let weights = Penalty.weights(of: shares(Self.norms), by: .edit)
        for constant in [1.0, 1000, 1e6] {
            let shifted = shares(Self.norms.map { $0 + constant })
            #expect(isClose(Penalty.weights(of: shifted, by: .edit), weights, within: 1e-9))
        }
        let huge = Penalty.weights(of: shares([1e308, 1e308, 1.5e308]), by: .edit)
        #expect(huge == [0.5, 0.5, 0])
        let cold = Penalty.weights(of: shares([1e308, 1.5e308]), by: .edit, temperature: 1e-9)
        #expect(cold.reduce(0, +) == 1)
    }

    @Test("T7: what is flagged weighs 0, the rest sums to 1", arguments: Weighting.allCases)
    func t7Flagged(weighting: Weighting) {
        let all = shares(Self.norms, tokens: [1, 2, 3, 4], anomalous: [1])
        let weights = Penalty.weights(of: all, by: weighting)
        #expect(weights[1] == 0)
        #expect(abs(weights.reduce(0, +) - 1) < 1e-15)
        let rest = [all[0], all[2], all[3]]
        let without = Penalty.weights(of: rest, by: weighting)
        #expect([weights[0], weights[2], weights[3]] == without)
    }

    @Test("T7: all flagged, or nobody took a step: nothing weighs", arguments: Weighting.allCases)
    func t7AllFlagged(weighting: Weighting) {
        let flagged = shares(Self.norms, anomalous: [0, 1, 2, 3])
        #expect(Penalty.weights(of: flagged, by: weighting) == [0, 0, 0, 0])
        let idle = shares([0, 0], tokens: [0, 0], steps: [0, 0])
        #expect(Penalty.weights(of: idle, by: weighting) == [0, 0])
        #expect(Penalty.weights(of: [], by: weighting).isEmpty)
        let noNorms = shares([.nan, .infinity, -1])
        #expect(Penalty.weights(of: noNorms, by: weighting) == [0, 0, 0])
        // A member that took no step does not win the softmax with its norm of 0.
        let one = shares([0, 1], tokens: [0, 5], steps: [0, 1])
        #expect(Penalty.weights(of: one, by: weighting) == [0, 1])
    }

    @Test("T8: all updates 100 times as large give the same weights")
    func t8Scale() {
        let tokens = [100, 250, 300, 80]
        let steps = [10, 25, 30, 8]
        let norms = [0.9, 1, 7, 1.5]
        let weights = Penalty.weights(
            of: shares(norms, tokens: tokens, steps: steps), by: .relative)
        let scaled = Penalty.weights(
            of: shares(norms.map { $0 * 100 }, tokens: tokens, steps: steps), by: .relative)
        #expect(isClose(weights, scaled, within: 1e-15))
    }

    @Test("T8: a fast worker with norms like the others' per step gets its share of tokens")
    func t8FastWorker() {
        let pair = shares([10, 20], tokens: [100, 400], steps: [100, 400])
        #expect(isClose(Penalty.weights(of: pair, by: .relative), [0.2, 0.8], within: 1e-15))
        let four = shares(
            [10, 20, 10, 20], tokens: [100, 400, 100, 400], steps: [100, 400, 100, 400])
        #expect(
            isClose(Penalty.weights(of: four, by: .relative), [0.1, 0.4, 0.1, 0.4], within: 1e-15))
        // The raw softmax all but silences it.
        #expect(Penalty.weights(of: pair, by: .edit)[1] < 1e-4)
    }

    @Test("EDiT's step weight: a part r of each weight is the share of steps since the last sync")
    func stepWeight() {
        let all = shares(Self.norms, steps: [10, 20, 30, 40])
        let half = Penalty.weights(of: all, by: .edit, stepWeight: 0.5)
        // By hand: halves of .3056 and .1, .2765 and .2, .2502 and .3, .1677 and .4.
        #expect(isClose(half, [0.2028, 0.23825, 0.2751, 0.28385], within: 5e-5))
        #expect(isClose([half.reduce(0, +)], [1], within: 1e-15))
        let steps = Penalty.weights(of: all, by: .edit, stepWeight: 1)
        #expect(isClose(steps, [0.1, 0.2, 0.3, 0.4], within: 1e-15))
        // Who does not count has no share of steps either.
        let flagged = shares(Self.norms, steps: [10, 20, 30, 40], anomalous: [3])
        let rest = Penalty.weights(of: flagged, by: .edit, stepWeight: 1)
        #expect(isClose(rest, [1.0 / 6, 1.0 / 3, 0.5, 0], within: 1e-15))
        // Nobody else knows it.
        for weighting in Weighting.allCases where weighting != .edit {
            let plain = Penalty.weights(of: all, by: weighting)
            #expect(Penalty.weights(of: all, by: weighting, stepWeight: 0.5) == plain)
        }
    }

    @Test("An expert's step weight is shared by those that saw its tokens")
    func stepWeightOfExperts() {
        let all = shares([1, 1, 1], steps: [10, 30, 60])
        let weights = Penalty.weights(
            of: all, tokens: [[5], [0], [15]], experts: 1, by: .edit, stepWeight: 0.5)
        #expect(isClose(weights.dense, [1.3 / 6, 1.9 / 6, 2.8 / 6], within: 1e-15))
        // Half of 1/4 and 3/4 by tokens, half of 1/7 and 6/7 by steps.
        #expect(
            isClose(
                weights.experts[0], [0.5 * (1.0 / 4 + 1.0 / 7), 0, 0.5 * (0.75 + 6.0 / 7)],
                within: 1e-15))
    }

    @Test("Relative weights are tokens times exp(1 - r) above the median")
    func relative() {
        let all = shares([1, 2, 5], tokens: [100, 100, 200])
        // Medians and ratios by hand: r = .5, 1, 2.5.
        let masses = [100, 100, 200 * 0.223_130_160_148_429_83]
        let expected = masses.map { $0 / masses.reduce(0, +) }
        let weights = Penalty.weights(of: all, by: .relative, temperature: 1)
        #expect(isClose(weights, expected, within: 1e-15))
        // Hotter is milder.
        #expect(Penalty.weights(of: all, by: .relative, temperature: 10)[2] > expected[2])
    }

    @Test("By themselves, relative weights are cold enough for noise to weigh next to nothing")
    func temperatures() {
        // A worker on random tokens has norms 1.3 times those of the others.
        let all = shares([1, 1, 1, 1.3])
        let noise = Penalty.weights(of: all, by: .relative)[3]
        // exp(-3) against 1, by hand.
        #expect(isClose([noise], [0.049_787_068_4 / 3.049_787_068_4], within: 1e-9))
        #expect(
            Penalty.weights(of: all, by: .relative, temperature: 0.1)
                == Penalty.weights(of: all, by: .relative))
        // EDiT's own is as published.
        #expect(
            Penalty.weights(of: all, by: .edit, temperature: 1)
                == Penalty.weights(of: all, by: .edit))
        var settings = RunSettings()
        #expect(ShardState(settings).temperature == nil)
        settings.penalty.temperature = 0.5
        #expect(ShardState(settings).temperature == 0.5)
    }

    @Test("Two workers, or a median of 0, have no norm to compare with: tokens alone count")
    func noMedian() {
        let two = shares([1, 1000], tokens: [100, 300])
        #expect(Penalty.weights(of: two, by: .relative) == [0.25, 0.75])
        // An observer, a flagged one and an idle one do not make it three.
        let padded =
            two + [
                Penalty.Share(
                    worker: "x", tokens: 100, isObserving: true, norm: 1, steps: 1),
                Penalty.Share(
                    worker: "y", tokens: 100, isObserving: false, norm: 1, isAnomalous: true),
                Penalty.Share(worker: "z", tokens: 0, isObserving: false, norm: 0, steps: 0),
            ]
        #expect(Penalty.weights(of: padded, by: .relative) == [0.25, 0.75, 0, 0, 0])
        let still = shares([0, 0, 3], tokens: [100, 100, 200])
        #expect(Penalty.weights(of: still, by: .relative) == [0.25, 0.25, 0.5])
    }

    @Test("DiPS: survivors of the z-test in proportion to their data")
    func dips() {
        let all = shares([5, 50, 6], tokens: [100, 900, 300], anomalous: [1])
        #expect(Penalty.weights(of: all, by: .dips) == [0.25, 0, 0.75])
        #expect(Penalty.norm(ofModules: [3, 4, 12]) == 13)
    }

    @Test("Negative token counts count as none")
    func negativeTokens() {
        let all = shares([1, 1], tokens: [-100, 100])
        #expect(Penalty.weights(of: all, by: .tokens) == [0, 1])
        let observers = [-100, 100, 300].map {
            Penalty.Share(worker: "w", tokens: $0, isObserving: true, norm: 1)
        }
        #expect(Penalty.weights(of: observers, by: .tokens) == [0, 0.25, 0.75])
    }

    @Test("The guard takes what is at most four times its claim, and only numbers")
    func guardVerdicts() {
        #expect(Penalty.guardVerdict(decodedNorm: 4, claimedNorm: 1) == .sound)
        #expect(Penalty.guardVerdict(decodedNorm: 0, claimedNorm: 0) == .sound)
        let large = Penalty.guardVerdict(decodedNorm: 4.1, claimedNorm: 1)
        #expect(large == .tooLarge(decoded: 4.1, claimed: 1))
        #expect(large.flaw == "the update has norm 4.1, its header claims 1.0")
        #expect(Penalty.guardVerdict(decodedNorm: 0, claimedNorm: -1).flaw != nil)
        for (decoded, claimed) in [(Double.nan, 1), (.infinity, 1), (1, .nan), (1, .infinity)] {
            let verdict = Penalty.guardVerdict(decodedNorm: decoded, claimedNorm: claimed)
            #expect(verdict == .notFinite)
        }
    }

    @Test("The guard cuts to twice the median of three or more")
    func guardFactors() {
        #expect(Penalty.guardFactors(norms: [1, 100]) == [1, 1])
        #expect(Penalty.guardFactors(norms: [1, 8, 1]) == [1, 0.25, 1])
        #expect(Penalty.guardFactors(norms: [1, 2, 1, 0]) == [1, 1, 1, 1])
        #expect(Penalty.guardFactors(norms: [0, 0, 9]) == [1, 1, 1])
        #expect(Penalty.guardFactors(norms: []).isEmpty)
    }
}
