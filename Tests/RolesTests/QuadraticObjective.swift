import Cluster
import MoE
import Roles
import Tensors

/// A loss with a closed form in place of a transformer: the mean over sequences of
/// 1/2 |x - target(sequence)|^2, whose gradient is x minus the mean target.
final class QuadraticObjective: Objective {
    static let layout = ParameterLayout(
        modules: [("embedding", 40), ("layers.0", 64), ("layers.1", 33), ("head", 7)].map {
            (name: $0.0, tensors: [(name: "\($0.0).weight", shape: [$0.1])])
        })

    /// The same with two experts in the first layer.
    static let expertLayout = ParameterLayout(modules: [
        (name: "embedding", tensors: [(name: "embedding.weight", shape: [40])]),
        (
            name: "layers.0",
            tensors: [
                (name: "layers.0.router.weight", shape: [20]),
                (name: "layers.0.experts.0.weight", shape: [22]),
                (name: "layers.0.experts.1.weight", shape: [22]),
            ]
        ),
        (name: "layers.1", tensors: [(name: "layers.1.weight", shape: [33])]),
        (name: "head", tensors: [(name: "head.weight", shape: [7])]),
    ])

    let layout: ParameterLayout
    private(set) var expertTokens: [[Int]] = []
    /// Masks leave 4 / (1 + coefficient) experts of a token, and none to an eighth of them.
    private(set) var masks: [MaskTally] = []
    private let width: Int
    /// A sequence that starts with this token makes every gradient NaN.
    private let poison: Int32?
    /// A sequence that starts with this token makes every gradient a million times as large, or
    /// only those of one module.
    private let outlier: Int32?
    private let outlierRange: Range<Int>
    /// Whether all gradients are 0.
    private let isIdle: Bool
    /// Told of every computation: of which parameters, on sequences that start with which tokens.
    private let whenComputed: (@Sendable (FloatBuffer, [Int32]) -> Void)?

    init(
        sequenceLength: Int, layout: ParameterLayout = QuadraticObjective.layout,
        poison: Int32? = nil, outlier: Int32? = nil, outlierModule: Int? = nil,
        isIdle: Bool = false,
        whenComputed: (@Sendable (FloatBuffer, [Int32]) -> Void)? = nil
    ) {
        self.whenComputed = whenComputed
        self.isIdle = isIdle
        width = sequenceLength + 1
        self.layout = layout
        self.poison = poison
        self.outlier = outlier
        outlierRange = outlierModule.map { layout.modules[$0].range } ?? 0..<layout.count
    }

    func gradients(
        of parameters: FloatBuffer, tokens: [Int32], sequences: Int, masking: Masking,
        into gradients: FloatBuffer
    ) -> LossSum {
        whenComputed?(parameters, (0..<sequences).map { tokens[$0 * width] })
        let isOutlier = (0..<sequences).contains { tokens[$0 * width] == outlier }
        var loss = 0.0
        for index in 0..<layout.count {
            var gradient = 0.0
            for sequence in 0..<sequences {
                let target = QuadraticObjective.target(tokens[sequence * width], index)
                let difference = Double(parameters[index]) - target
                gradient += difference
                loss += 0.5 * difference * difference
            }
            if isOutlier, outlierRange.contains(index) { gradient *= 1e6 }
            if isIdle { gradient = 0 }
            let isPoisoned = (0..<sequences).contains { tokens[$0 * width] == poison }
            gradients[index] = isPoisoned ? .nan : Float(gradient / Double(sequences))
        }
        let count = sequences * (width - 1)
        countRouted(tokens, sequences)
        countMasked(count, masking)
        return LossSum(sum: loss / Double(sequences) * Double(count), tokens: count)
    }

    /// Every token of a sequence that starts with a multiple of four goes to expert 1, the others
    /// to expert 0.
    private func countRouted(_ tokens: [Int32], _ sequences: Int) {
        guard layout.tensors.contains(where: { $0.name.contains("experts") }) else { return }
        let second = (0..<sequences).filter { tokens[$0 * width] % 4 == 0 }.count
        expertTokens = [
            [], [(sequences - second) * (width - 1), second * (width - 1)], [], [],
        ]
    }

    private func countMasked(_ tokens: Int, _ masking: Masking) {
        masks = []
        guard masking.use == .training else { return }
        var tally = MaskTally()
        tally.tokens = tokens
        tally.live = Int(4 * Double(tokens) / (1 + masking.coefficient))
        tally.empty = tokens / 8
        masks = [tally, tally]
    }

    func loss(
        of parameters: FloatBuffer, tokens: [Int32], sequences: Int, masking: Masking
    ) -> LossSum {
        gradients(
            of: parameters, tokens: tokens, sequences: sequences, masking: masking,
            into: FloatBuffer(count: layout.count))
    }

    /// What a sequence that starts with `token` pulls parameter `index` to, in 0..<1.
    static func target(_ token: Int32, _ index: Int) -> Double {
        var generator = SeededGenerator(
            seed: UInt64(UInt32(bitPattern: token)) << 20 | UInt64(index))
        return 0.5 + 0.5 * (2 * generator.unit() - 1)
    }

    /// The parameters of `module` that every simulated run starts from, in -1...1.
    static func start(
        _ module: Int, of layout: ParameterLayout = QuadraticObjective.layout
    ) -> [Float] {
        (0..<layout.modules[module].range.count).map { index in
            let step = (index * 37 + module * 11) % 101
            return Float(step) / 50 - 1
        }
    }
}
