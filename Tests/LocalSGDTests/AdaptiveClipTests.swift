import FoundationEssentials
import LocalSGD
import Tensors
import Testing

@Suite("Clipping")
struct AdaptiveClipTests {
    @Test("T9: with an absolute bound, norm 20 is scaled by 10 / (20 + 1e-6), below it by 1")
    func t9Absolute() {
        var settings = ClipSettings()
        settings.absoluteBound = 10
        var clip = AdaptiveClip(settings)
        #expect(clip.factor(norm: 20) == 10 / (20 + 1e-6))
        #expect(clip.factor(norm: 9.9) == 1)
        for _ in 0..<40 { _ = clip.factor(norm: 1) }
        #expect(clip.bound == 10)
    }

    @Test("T9: the bound is three medians of rounds 5 to 20, and none before")
    func t9Adaptive() {
        var clip = AdaptiveClip()
        for _ in 1..<5 {
            let factor = clip.factor(norm: 1000)
            #expect(factor == 1)
        }
        // 16 norms whose median is 2.5.
        for round in 5...20 {
            #expect(clip.bound == nil)
            let factor = clip.factor(norm: [77, 2, 3, 0.5][round % 4])
            #expect(factor == 1)
        }
        #expect(clip.bound == 7.5)
        let above = clip.factor(norm: 30)
        #expect(above == 7.5 / (30 + 1e-6))
        let below = clip.factor(norm: 7)
        #expect(below == 1)
        // Later rounds do not move it.
        for _ in 0..<100 { _ = clip.factor(norm: 500) }
        #expect(clip.bound == 7.5)
        #expect(clip.rounds == 20)
    }

    @Test("Factor and window are settings")
    func settings() {
        var settings = ClipSettings()
        settings.factor = 2
        settings.firstRound = 2
        settings.lastRound = 3
        var clip = AdaptiveClip(settings)
        for norm in [9, 1, 3.0] { _ = clip.factor(norm: norm) }
        #expect(clip.bound == 4)
    }

    @Test("Rounds in which nothing moved, and norms that are none, are not observed")
    func oddNorms() {
        var clip = AdaptiveClip()
        for norm in [0, Double.nan, .infinity, -1] {
            let factor = clip.factor(norm: norm)
            #expect(factor == (norm == 0 ? 1 : 0))
        }
        #expect(clip == AdaptiveClip())
    }

    @Test("Stored in the middle of its window and read again, it learns the same bound")
    func codable() throws {
        var clip = AdaptiveClip()
        for round in 1...12 { _ = clip.factor(norm: Double(round)) }
        var copy = try JSONDecoder().decode(AdaptiveClip.self, from: JSONEncoder().encode(clip))
        for round in 13...20 {
            _ = clip.factor(norm: Double(round))
            _ = copy.factor(norm: Double(round))
        }
        #expect(copy == clip)
        #expect(copy.bound == 37.5)
    }

    @Test("A step on some ranges leaves the rest of the module alone, momentum included")
    func ranges() {
        var settings = OuterSettings()
        settings.learningRate = 1
        settings.momentum = 0.5
        let optimizer = OuterOptimizer(settings)
        let global = FloatBuffer([1, 2, 3, 4])
        let momentum = FloatBuffer([8, 8, 8, 8])
        let mean = DoubleBuffer([1, 0, 0, 1])
        let whole = optimizer.step(
            global: global, momentum: momentum, mean: mean, norm: 1, clip: 1, ranges: [0..<4])
        let part = optimizer.step(
            global: global, momentum: momentum, mean: mean, norm: 1, clip: 1,
            ranges: [0..<1, 2..<4])
        #expect(part.global[1] == 2)
        #expect(part.momentum[1] == 8)
        #expect(whole.momentum[1] == 4)
        for index in [0, 2, 3] {
            #expect(part.global[index] == whole.global[index])
            #expect(part.momentum[index] == whole.momentum[index])
        }
        #expect(global.array == [1, 2, 3, 4])
        let none = optimizer.step(
            global: global, momentum: momentum, mean: mean, norm: 1, clip: 1, ranges: [])
        #expect(none.global.array == global.array)
        #expect(none.momentum.array == momentum.array)
    }
}
