import MoE
import Tensors

/// Seeded numbers for tests.
struct TestNumbers {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func bits() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    /// Uniform in -1 ..< 1.
    mutating func next() -> Double { Double(bits() >> 11) / 4_503_599_627_370_496 - 1 }

    mutating func tokens(_ count: Int, vocabulary: Int) -> [Int32] {
        (0..<count).map { _ in Int32(bits() % UInt64(vocabulary)) }
    }
}

extension ModelConfiguration {
    /// Two layers so small that every parameter's gradient can be checked by differences.
    static var tiny: ModelConfiguration {
        var configuration = ModelConfiguration(
            vocabularySize: 7, hiddenSize: 6, layers: 2, heads: 4, keyValueHeads: 2, headWidth: 2,
            experts: 4, expertsPerToken: 2, expertHiddenSize: 3, positionsMax: 16)
        configuration.loadBalancingCoefficient = 0.05
        return configuration
    }

    /// Sizes that no kernel's tile divides, large enough that fast paths take all their turns.
    static var odd: ModelConfiguration {
        var configuration = ModelConfiguration(
            vocabularySize: 83, hiddenSize: 56, layers: 3, heads: 6, keyValueHeads: 2,
            headWidth: 10, experts: 9, expertsPerToken: 3, expertHiddenSize: 37, positionsMax: 64)
        configuration.sharedExpertHiddenSize = 29
        configuration.loadBalancingCoefficient = 0.01
        return configuration
    }

    /// Weights large enough that no gradient drowns in rounding; norms near 1, not at it.
    func testParameters<Element: KernelElement & BinaryFloatingPoint>(
        seed: UInt64, scale: Double = 0.5, of _: Element.Type = Element.self
    ) -> Buffer<Element> {
        var numbers = TestNumbers(seed: seed)
        let layout = layout
        let parameters = Buffer<Element>(count: layout.count)
        for tensor in layout.tensors {
            let isNorm = tensor.shape.count == 1 && !tensor.name.hasSuffix(".bias")
            for index in tensor.range {
                parameters[index] = Element(
                    (isNorm ? 1 : 0) + (isNorm ? 0.2 : scale) * numbers.next())
            }
        }
        return parameters
    }
}

extension Buffer where Element: KernelElement & BinaryFloatingPoint {
    /// The same numbers as another type.
    func converted<Other: KernelElement & BinaryFloatingPoint>(to _: Other.Type) -> Buffer<Other> {
        Buffer<Other>(array.map { Other($0) })
    }
}

/// Every tensor that both layouts have; 0 where only the target has one.
func copyByName<Element: KernelElement>(
    _ parameters: Buffer<Element>, from source: ParameterLayout, to target: ParameterLayout
) -> Buffer<Element> {
    let copy = Buffer<Element>(count: target.count)
    for tensor in target.tensors {
        guard let place = source.tensor(named: tensor.name) else { continue }
        copy[tensor.range].copy(from: parameters[place.range])
    }
    return copy
}

/// Whether both hold the same numbers, bit for bit, and none of them is NaN.
func sameBits<Number: KernelElement & BinaryFloatingPoint>(
    _ found: Buffer<Number>, _ expected: Buffer<Number>
) -> Bool {
    found.count == expected.count
        && zip(found.array, expected.array).allSatisfy { $0 == $1 && $0.sign == $1.sign }
}

/// Euclidean distance of two vectors, relative to the second's length.
func relativeDistance(_ found: [some BinaryFloatingPoint], _ expected: [some BinaryFloatingPoint])
    -> Double
{
    precondition(found.count == expected.count, "\(found.count) against \(expected.count)")
    var distance = 0.0
    var length = 0.0
    for (a, b) in zip(found, expected) {
        distance += (Double(a) - Double(b)) * (Double(a) - Double(b))
        length += Double(b) * Double(b)
    }
    return length == 0 ? distance.squareRoot() : (distance / length).squareRoot()
}
