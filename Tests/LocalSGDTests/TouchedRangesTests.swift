import LocalSGD
import Tensors
import Testing

@Suite("Parameters that an update is about")
struct TouchedRangesTests {
    /// Dense 0..<3, expert 0 3..<5, router 5..<6, expert 1 6..<10, dense 10..<12.
    private static let parts = PartLayout(
        module: 0,
        of: ParameterLayout(modules: [
            (
                name: "m",
                tensors: [
                    (name: "m.norm.weight", shape: [3]),
                    (name: "m.experts.0.weight", shape: [2]),
                    (name: "m.gate.weight", shape: [1]),
                    (name: "m.experts.1.weight", shape: [4]),
                    (name: "m.out.weight", shape: [2]),
                ]
            )
        ]))

    private func touched(_ tokens: [Int], _ kind: RoundKind = .local) -> TouchedRanges {
        TouchedRanges(Self.parts, kind: kind, expertTokens: tokens)
    }

    @Test("Experts without tokens are left out, and what meets is one range")
    func ranges() {
        #expect(touched([1, 1]).ranges == [0..<12] && touched([1, 1]).isWhole)
        #expect(touched([0, 7]).ranges == [0..<3, 5..<12])
        #expect(touched([7, 0]).ranges == [0..<6, 10..<12])
        #expect(touched([0, 0]).ranges == [0..<3, 5..<6, 10..<12])
        #expect(touched([0, 0]).count == 6 && touched([0, 0]).total == 12)
        // What nobody counted, nobody saw.
        #expect(touched([]).ranges == touched([0, 0]).ranges)
        #expect(touched([3]).ranges == touched([3, 0]).ranges)
        #expect(touched([-1, 2, 9]).ranges == touched([0, 2]).ranges)
    }

    @Test("A gradient of the warm-up is about everything")
    func warmup() {
        #expect(touched([0, 0], .warmup).isWhole && touched([], .warmup).isWhole)
        #expect(TouchedRanges(all: 5).ranges == [0..<5])
        #expect(TouchedRanges(all: 0).isWhole)
    }

    @Test("Of a module that is trained in part, that part is sent; of one that is not at all, all")
    func trainedParts() {
        let parts = PartLayout(
            module: 0,
            of: ParameterLayout(modules: [
                (
                    name: "m",
                    tensors: [
                        (name: "m.norm.weight", shape: [3]),
                        (name: "m.gate.weight", shape: [2]),
                        (name: "m.mask_router.weight", shape: [2]),
                        (name: "m.experts.0.weight", shape: [4]),
                    ]
                )
            ]))
        func ranges(_ training: MaskSettings.Training, _ kind: RoundKind = .local) -> [Range<Int>] {
            TouchedRanges(parts, kind: kind, expertTokens: [1], training: training).ranges
        }
        #expect(ranges(.all) == [0..<11])
        #expect(ranges(.off) == [0..<5, 7..<11])
        #expect(ranges(.maskAndRouter) == [3..<7])
        #expect(ranges(.maskOnly) == [5..<7])
        for training in MaskSettings.Training.allCases {
            #expect(ranges(training, .warmup) == [0..<11])
            let dense = TouchedRanges(
                PartLayout(dense: 5), kind: .local, expertTokens: [], training: training)
            #expect(dense.isWhole)
        }
    }

    @Test("What is gathered goes back to where it was, and the rest stays")
    func thereAndBack() {
        let touched = touched([0, 5])
        let values = FloatBuffer((0..<12).map(Float.init))
        let gathered = touched.gathered(values)
        #expect(gathered.array == [0, 1, 2, 5, 6, 7, 8, 9, 10, 11])
        let others = FloatBuffer([Float](repeating: -1, count: 12))
        touched.scatter(gathered, to: others)
        #expect(others.array == [0, 1, 2, -1, -1, 5, 6, 7, 8, 9, 10, 11])

        let sum = DoubleBuffer((0..<12).map { _ in 1 })
        touched.add(DoubleBuffer((0..<10).map(Double.init)), to: sum)
        #expect(sum.array == [1, 2, 3, 1, 1, 4, 5, 6, 7, 8, 9, 10])
    }
}
