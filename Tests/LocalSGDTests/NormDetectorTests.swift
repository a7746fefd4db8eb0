import FoundationEssentials
import LocalSGD
import Testing

@Suite("Anomaly elimination")
struct NormDetectorTests {
    /// 1 +- 0.05, evenly spread.
    private func steady(_ count: Int, seed: UInt64 = 11) -> [Double] {
        var generator = TestGenerator(state: seed)
        return (0..<count).map { _ in 1 + 0.05 * Double(generator.float()) }
    }

    private func settings(
        _ semantics: DetectorSettings.Semantics, warmup: Int
    ) -> DetectorSettings {
        var settings = DetectorSettings()
        settings.semantics = semantics
        settings.warmup = warmup
        return settings
    }

    private func expect(
        _ detector: inout NormDetector, _ sample: Double, flagged: Bool,
        location: SourceLocation = #_sourceLocation
    ) {
        let isFlagged = detector.judge(sample)
        #expect(isFlagged == flagged, "\(sample)", sourceLocation: location)
    }

    @Test("T5: the reference's semantics give its golden vector")
    func t5GoldenVector() {
        var detector = NormDetector(settings(.reference, warmup: 4))
        let samples = [1, 2, 3, 2, 2.5, 10, 2]
        let means = [0.02, 0.0596, 0.118408, 0.15603984, 0.20291904, 0.39886066, 0.43088345]
        let variances = [
            0.019208, 0.0941269, 0.2583158, 0.3211533, 0.4202618, 2.2554941, 2.2596268,
        ]
        for (index, sample) in samples.enumerated() {
            if sample == 10 {
                #expect(abs(detector.zScore(sample) - 15.11) < 0.005)
                #expect(abs(detector.threshold - 5.897) < 0.0005)
            }
            expect(&detector, sample, flagged: sample == 10)
            // Eight and seven decimals are known; the fourth mean is also written .15604.
            #expect(abs(detector.mean - means[index]) < 6e-9)
            #expect(abs(detector.variance - variances[index]) < 6e-8)
        }
    }

    @Test("T6: an anomaly does not blind the detector to the next one")
    func t6NoPoisoning() {
        var detector = NormDetector()
        for sample in steady(500) { expect(&detector, sample, flagged: false) }
        let before = detector.mean
        expect(&detector, 6, flagged: true)
        #expect(detector.mean == before)
        for sample in steady(50, seed: 12) { expect(&detector, sample, flagged: false) }
        #expect(abs(detector.mean / before - 1) < 0.01)
        expect(&detector, 6, flagged: true)
    }

    @Test("T6: the reference's semantics move the mean with the anomaly")
    func t6ReferenceMoves() {
        var detector = NormDetector(settings(.reference, warmup: 50))
        for sample in steady(500) { _ = detector.judge(sample) }
        let before = detector.mean
        expect(&detector, 6, flagged: true)
        #expect(abs(detector.mean / before - 1) > 0.09)
    }

    @Test("T6: equal samples have their own value as mean from the first on; twice it is flagged")
    func t6NoBias() {
        var detector = NormDetector()
        for _ in 0..<50 {
            expect(&detector, 1, flagged: false)
            #expect(abs(detector.mean - 1) < 1e-6)
        }
        var lower = detector
        expect(&detector, 2, flagged: true)
        // The floor: 2 % of the mean is one standard deviation, however steady the samples were.
        expect(&lower, 1.05, flagged: false)
        expect(&lower, 1.2, flagged: true)
    }

    @Test("Mean and variance are those of all samples, weighted by age")
    func matchesDirectSums() {
        var detector = NormDetector()
        var seen: [Double] = []
        for sample in steady(120) {
            _ = detector.judge(sample)
            seen.append(sample)
            var weights: [Double] = []
            var weight = 0.02
            for _ in seen {
                weights.insert(weight, at: 0)
                weight *= 0.98
            }
            let total = weights.reduce(0, +)
            let mean = zip(weights, seen).reduce(0) { $0 + $1.0 * $1.1 } / total
            let variance = zip(weights, seen).reduce(0) {
                $0 + $1.0 * ($1.1 - mean) * ($1.1 - mean)
            }
            #expect(abs(detector.mean - mean) < 1e-12)
            #expect(abs(detector.variance - variance / total) < 1e-12)
        }
    }

    @Test("Nothing is flagged before the warm-up is over")
    func firstSamples() {
        var detector = NormDetector(settings(.corrected, warmup: 3))
        expect(&detector, 1, flagged: false)
        expect(&detector, 100, flagged: false)
        expect(&detector, 1, flagged: false)
        expect(&detector, 1e6, flagged: true)
        #expect(detector.count == 3)
    }

    @Test("What is no norm is always flagged and never taken in", arguments: [-1, .nan, .infinity])
    func noNorm(sample: Double) {
        for semantics in DetectorSettings.Semantics.allCases {
            var detector = NormDetector(settings(semantics, warmup: 4))
            let fresh = detector
            expect(&detector, sample, flagged: true)
            #expect(detector == fresh)
            for _ in 0..<10 { _ = detector.judge(1) }
            let settled = detector
            for _ in 0..<10 { expect(&detector, sample, flagged: true) }
            #expect(detector == settled)
            expect(&detector, 1e200, flagged: true)
            #expect(detector == settled)
        }
    }

    @Test("Zeros are no anomalies, nor is the first movement after nothing but zeros")
    func zeros() {
        var detector = NormDetector(settings(.corrected, warmup: 4))
        for _ in 0..<10 { expect(&detector, 0, flagged: false) }
        expect(&detector, 1, flagged: false)
        for sample in steady(50) { _ = detector.judge(sample) }
        expect(&detector, 0, flagged: false)
    }

    @Test("Five flags in a row start it afresh; four and a normal sample do not")
    func reset() {
        var detector = NormDetector()
        for sample in steady(60) { _ = detector.judge(sample) }
        for _ in 0..<4 { expect(&detector, 6, flagged: true) }
        expect(&detector, 1, flagged: false)
        for _ in 0..<4 { expect(&detector, 6, flagged: true) }
        #expect(detector.count == 61)
        expect(&detector, 6, flagged: true)
        #expect(detector.count == 0)
        expect(&detector, 6, flagged: false)
        #expect(detector.mean == 6)
    }

    @Test("When samples begin to vary, more of it is tolerated")
    func adaptiveThreshold() {
        var detector = NormDetector(settings(.corrected, warmup: 20))
        for sample in steady(21) { _ = detector.judge(sample) }
        #expect(detector.threshold == 3)
        // z-scores of +-2.5 have a standard deviation of about 2.5.
        for index in 0..<20 {
            let deviation = max(detector.variance.squareRoot(), 0.02 * detector.mean)
            let sample = detector.mean + (index % 2 == 0 ? 2.5 : -2.5) * deviation
            expect(&detector, sample, flagged: false)
        }
        let deviation = 2.5 * (20.0 / 19).squareRoot()
        #expect(abs(detector.threshold - 3 * deviation) < 1e-9)
    }

    @Test("More steps of the same kind give the same sample")
    func perStep() {
        #expect(NormDetector.sample(norm: 3, steps: 9) == 1)
        #expect(NormDetector.sample(norm: 6, steps: 36) == 1)
        #expect(NormDetector.sample(norm: 2, steps: 0) == 2)
    }

    @Test("Stored and read again, it judges as before")
    func codable() throws {
        var detector = NormDetector(settings(.corrected, warmup: 10))
        for sample in steady(40) { _ = detector.judge(sample) }
        var copy = try JSONDecoder().decode(
            NormDetector.self, from: JSONEncoder().encode(detector))
        #expect(copy == detector)
        for sample in steady(40, seed: 5) + [6] {
            let isFlagged = detector.judge(sample)
            expect(&copy, sample, flagged: isFlagged)
        }
        #expect(copy == detector)
    }

    @Test("The exponential function is right to a few units in the last place")
    func exponentials() {
        // e^x as (e^(x / 2^k))^(2^k) would lose digits; instead products of two known values.
        #expect(exponential(0) == 1)
        #expect(abs(exponential(-1) - 0.367_879_441_171_442_33) < 1e-16)
        #expect(abs(exponential(-0.3) - 0.740_818_220_681_717_88) < 2e-16)
        #expect(abs(exponential(-10) / 4.539_992_976_248_485e-5 - 1) < 1e-15)
        #expect(abs(exponential(-700) / 9.859_676_543_759_77e-305 - 1) < 1e-14)
        #expect(exponential(-744) == 2 * .leastNonzeroMagnitude)
        #expect(exponential(-1e300) == 0)
        #expect(exponential(-.infinity) == 0)
        var generator = TestGenerator(state: 3)
        for _ in 0..<1000 {
            let a = -20 * abs(Double(generator.float()))
            let b = -20 * abs(Double(generator.float()))
            #expect(abs(exponential(a) * exponential(b) / exponential(a + b) - 1) < 1e-14)
            if a != b { #expect((exponential(a) < exponential(b)) == (a < b)) }
        }
    }

    @Test("The median is the middle, or between the two in the middle")
    func medians() {
        #expect(median(of: []) == nil)
        #expect(median(of: [3]) == 3)
        #expect(median(of: [3, 1]) == 2)
        #expect(median(of: [9, 1, 2]) == 2)
        #expect(median(of: [.greatestFiniteMagnitude, .greatestFiniteMagnitude])?.isFinite == true)
    }
}
