internal import Tensors

/// Where decoded numbers go.
enum Sink: Sendable {
    case nothing
    case sum(DoubleBuffer, weight: Double)
    case values(FloatBuffer)

    /// Numbers `first` and following.
    func add(_ x: FloatBuffer, at first: Int) {
        let range = first..<first + x.count
        switch self {
        case .nothing: break
        case .sum(let sum, let weight): sum[range].weigh(x, by: weight)
        case .values(let values): values[range].add(x)
        }
    }

    /// One number.
    func add(_ value: Float, at index: Int) {
        switch self {
        case .nothing: break
        case .sum(let sum, let weight): sum[index] += weight * Double(value)
        case .values(let values): values[index] += value
        }
    }
}
