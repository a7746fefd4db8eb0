internal import Tensors

/// Binary arithmetic coding with adaptive probabilities (range coding after Martin 1979): integers
/// only, so that both ends compute the same on every machine.

/// How probable it is that the next bit is 0, learnt from the bits before it.
struct AdaptiveBit: Sendable {
    /// Of 2^16.
    private var probability: UInt16 = 1 << 15
    /// Bits seen, up to the limit.
    private var seen: UInt8 = 0

    /// A probability is the mean of what was seen, later of about the last 128 bits.
    private static let seenMax: UInt8 = 126
    /// Keeps every bit possible after any others.
    private static let least: UInt32 = 32

    /// Of 2^12, never 0 and never 1.
    var zero: UInt32 { UInt32(probability >> 4) }

    mutating func learn(_ bit: UInt32) {
        let rate = UInt32(seen) + 2
        let old = UInt32(probability)
        let new = bit == 0 ? old + (65536 - old) / rate : old - old / rate
        probability = UInt16(min(max(new, Self.least), 65536 - Self.least))
        if seen < Self.seenMax { seen += 1 }
    }
}

/// Writes bits as one number: each narrows the interval in which it lies.
struct RangeEncoder: Sendable {
    private(set) var bytes: [UInt8] = []
    /// The interval's lower end, without the bytes that are written, and its length.
    private var low: UInt32 = 0
    private var range = UInt32.max

    /// Lengths below this are made longer by a byte.
    static let rangeLeast: UInt32 = 1 << 24

    mutating func encode(_ bit: UInt32, _ model: inout AdaptiveBit) {
        let bound = (range >> 12) * model.zero
        model.learn(bit)
        if bit == 0 {
            range = bound
        } else {
            raise(by: bound)
            range -= bound
        }
        refill()
    }

    /// `count` bits, at most 8, each as probable as not.
    mutating func encode(_ value: UInt32, bits count: UInt32) {
        range >>= count
        raise(by: value * range)
        refill()
    }

    /// The last bytes: afterwards all is said.
    mutating func finish() -> [UInt8] {
        for _ in 0..<4 { shift() }
        return bytes
    }

    private mutating func raise(by step: UInt32) {
        let (sum, isOver) = low.addingReportingOverflow(step)
        low = sum
        guard isOver else { return }
        // The number never reaches 1, so a byte that is not 255 comes before.
        var index = bytes.count - 1
        while index > 0, bytes[index] == 255 {
            bytes[index] = 0
            index -= 1
        }
        bytes[index] += 1
    }

    private mutating func refill() {
        while range < Self.rangeLeast {
            shift()
            range <<= 8
        }
    }

    private mutating func shift() {
        bytes.append(UInt8(truncatingIfNeeded: low >> 24))
        low <<= 8
    }
}

/// Reads what a ``RangeEncoder`` wrote; the bytes are handed to every call.
struct RangeDecoder: Sendable {
    /// The number less the interval's lower end, and the interval's length.
    private var offset: UInt32 = 0
    private var range = UInt32.max
    /// Bytes read, including those behind the end, which count as 0.
    private var position = 0

    init(_ bytes: RawSpan) {
        for _ in 0..<4 { shift(bytes) }
    }

    /// Whether what was read so far can be what was written.
    func isSound(_ bytes: RawSpan) -> Bool { position <= bytes.byteCount && offset < range }

    /// Whether all was read, and nothing is left over.
    func isFinished(_ bytes: RawSpan) -> Bool { position == bytes.byteCount && offset == 0 }

    mutating func decode(_ model: inout AdaptiveBit, _ bytes: RawSpan) -> UInt32 {
        let bound = (range >> 12) * model.zero
        let bit: UInt32 = offset < bound ? 0 : 1
        if bit == 0 {
            range = bound
        } else {
            offset -= bound
            range -= bound
        }
        model.learn(bit)
        refill(bytes)
        return bit
    }

    /// `count` bits, at most 8, each as probable as not.
    mutating func decode(bits count: UInt32, _ bytes: RawSpan) -> UInt32 {
        range >>= count
        // Only bytes that nobody wrote reach the limit.
        let value = min(offset / range, (1 << count) - 1)
        offset -= value * range
        refill(bytes)
        return value
    }

    private mutating func refill(_ bytes: RawSpan) {
        while range < RangeEncoder.rangeLeast {
            shift(bytes)
            range <<= 8
        }
    }

    private mutating func shift(_ bytes: RawSpan) {
        let next = position < bytes.byteCount ? UInt32(bytes.byte(position)) : 0
        offset = offset << 8 | next
        position += 1
    }
}
