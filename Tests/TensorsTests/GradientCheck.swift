import Tensors
import Testing

/// Seeded numbers for tests.
struct TestNumbers {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    /// Uniform in -1 ..< 1.
    mutating func next() -> Double {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        z ^= z >> 31
        return Double(z >> 11) / 4_503_599_627_370_496 - 1
    }

    mutating func buffer(_ count: Int, scale: Double = 1) -> Buffer<Double> {
        Buffer((0..<count).map { _ in scale * next() })
    }
}

/// An input of an operation, and the gradient that the operation's backward gives for it.
struct Checked {
    let name: String
    let input: Buffer<Double>
    let gradient: Buffer<Double>

    init(_ name: String, _ input: Buffer<Double>, _ gradient: Buffer<Double>) {
        self.name = name
        self.input = input
        self.gradient = gradient
    }
}

/// A buffer for a gradient that must be overwritten: anything left in it shows.
func stale(_ count: Int) -> Buffer<Double> { Buffer(Array(repeating: .nan, count: count)) }

/// The sum of `a` times `b`, the scalar that finite differences are taken of.
func dot(_ a: Buffer<Double>, _ b: Buffer<Double>) -> Double {
    (0..<b.count).reduce(0) { $0 + a[$1] * b[$1] }
}

/// Compares gradients with central differences of `loss`, for every element of every input.
func expectGradients(
    _ checked: Checked..., tolerance: Double = 1e-7, loss: () -> Double,
    sourceLocation: SourceLocation = #_sourceLocation
) {
    let step = 1e-5
    for item in checked {
        #expect(item.input.count > 0 && item.gradient.count == item.input.count)
        for index in 0..<item.input.count {
            let value = item.input[index]
            item.input[index] = value + step
            let above = loss()
            item.input[index] = value - step
            let below = loss()
            item.input[index] = value
            let numeric = (above - below) / (2 * step)
            let analytic = item.gradient[index]
            let allowed = tolerance * max(1, abs(numeric))
            #expect(
                abs(analytic - numeric) <= allowed,
                "d \(item.name)[\(index)] is \(analytic), by differences \(numeric)",
                sourceLocation: sourceLocation)
        }
    }
}

/// Values as arrays, so that a failure prints both.
func expectEqual(
    _ found: Buffer<Double>, _ expected: [Double], tolerance: Double = 1e-12,
    sourceLocation: SourceLocation = #_sourceLocation
) {
    let close =
        found.count == expected.count
        && zip(found.array, expected).allSatisfy { abs($0 - $1) <= tolerance }
    #expect(close, "\(found.array) is not \(expected)", sourceLocation: sourceLocation)
}
