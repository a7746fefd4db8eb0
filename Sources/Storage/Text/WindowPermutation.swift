/// A random order of `0..<count` that is computed and not stored: a Feistel network over the next
/// even number of bits, walked until it lands inside (Black and Rogaway 2002, "Ciphers with
/// arbitrary finite domains").
///
/// Different keys give different orders.
struct WindowPermutation: Sendable, Equatable {
    let count: UInt64
    private let key: UInt64
    private let halfBits: UInt64
    /// Rounds; four already pass for random (Luby and Rackoff 1988).
    private static let rounds: UInt64 = 6

    /// The order for `key`.
    ///
    /// There must be something to order.
    init(count: UInt64, key: UInt64) {
        precondition(count > 0, "nothing to permute")
        self.count = count
        self.key = key
        let bits = UInt64(UInt64.bitWidth - (count - 1).leadingZeroBitCount)
        halfBits = max((bits + 1) / 2, 1)
    }

    /// What stands at `index` in the order.
    subscript(index: UInt64) -> UInt64 {
        precondition(index < count, "\(index) outside 0..<\(count)")
        // Fewer than 4 steps on average: the network spans at most 4 times `count`.
        var value = index
        repeat { value = scramble(value) } while value >= count
        return value
    }

    private func scramble(_ value: UInt64) -> UInt64 {
        let mask = (1 as UInt64) << halfBits - 1
        var left = value >> halfBits
        var right = value & mask
        for round in 0..<Self.rounds {
            let mixed = SplitMix.mix(key &+ SplitMix.mix(right &+ round << 56)) & mask
            (left, right) = (right, left ^ mixed)
        }
        return left << halfBits | right
    }
}

/// The finalizer of SplitMix64 (Steele, Lea and Flood 2014): a bijection of 64 bits in which every
/// bit depends on every other.
enum SplitMix {
    static func mix(_ value: UInt64) -> UInt64 {
        var z = value &+ 0x9e37_79b9_7f4a_7c15
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
