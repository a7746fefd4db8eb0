#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// Random numbers of known distributions, the same in every run; for benchmarks only.
struct NormalNumbers {
    private var state: UInt64
    private var spare: Double?

    init(seed: UInt64) { state = seed }

    /// Standard normal (Marsaglia's polar method).
    mutating func next() -> Double {
        if let number = spare {
            spare = nil
            return number
        }
        while true {
            let x = uniform()
            let y = uniform()
            let square = x * x + y * y
            guard square < 1, square > 0 else { continue }
            let factor = (-2 * log(square) / square).squareRoot()
            spare = y * factor
            return x * factor
        }
    }

    /// Student's t of four degrees of freedom.
    mutating func student4() -> Double {
        var squares = 0.0
        for _ in 0..<4 {
            let number = next()
            squares += number * number
        }
        return next() / (squares / 4).squareRoot()
    }

    /// exp of a normal number of this deviation.
    mutating func logNormal(_ deviation: Double) -> Double { exp(deviation * next()) }

    /// In -1 ..< 1.
    private mutating func uniform() -> Double {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Double(Int64(bitPattern: state) >> 11) * 0x1p-52
    }
}

extension [Int32] {
    /// Random tokens of a vocabulary, the same in every run; for benchmarks only.
    static func random(_ count: Int, below vocabulary: Int) -> [Int32] {
        var state: UInt64 = 1
        return (0..<count).map { _ in
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int32((state >> 33) % UInt64(vocabulary))
        }
    }
}
