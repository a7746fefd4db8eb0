/// Random numbers from a seed (SplitMix64): the only source of chance in a simulation.
package struct SeededGenerator: RandomNumberGenerator, Sendable {
    private var state: UInt64

    package init(seed: UInt64) { state = seed }

    package mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    /// A number in 0..<1.
    package mutating func unit() -> Double { Double(next() >> 11) * 0x1p-53 }

    /// A duration in `range`, to the microsecond.
    package mutating func duration(in range: ClosedRange<Duration>) -> Duration {
        let span = SeededGenerator.microseconds(range.upperBound - range.lowerBound)
        return range.lowerBound + .microseconds(Int64(Double(span) * unit()))
    }

    private static func microseconds(_ duration: Duration) -> Int64 {
        duration.components.seconds * 1_000_000 + duration.components.attoseconds
            / 1_000_000_000_000
    }
}
