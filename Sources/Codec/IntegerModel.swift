/// Small numbers, smaller ones more often: learns how often each power of 2 and what follows it.
///
/// `value + 1` is a leading 1 and `width` bits behind it. The width is coded as four bits, each
/// given those before it; of the bits behind the leading 1 the first three likewise, given the
/// width; the rest as it is.
struct IntegerModel: Sendable {
    /// Values are below this.
    static let end = 1 << 13
    private static let widthBits = 4
    private static let learntBits = 3

    private var widths: [AdaptiveBit]
    private var heads: [AdaptiveBit]

    /// `contexts`: how many ways of telling the width there are.
    init(contexts: Int = 1) {
        widths = Array(repeating: AdaptiveBit(), count: contexts << Self.widthBits)
        heads = Array(repeating: AdaptiveBit(), count: 1 << (Self.widthBits + Self.learntBits))
    }

    mutating func encode(_ value: Int, context: Int = 0, to coder: inout RangeEncoder) {
        let number = UInt32(value + 1)
        let width = Self.width(of: value)
        var node = 1
        for bit in (0..<Self.widthBits).reversed() {
            let next = UInt32(width >> bit & 1)
            coder.encode(next, &widths[context << Self.widthBits + node])
            node = node << 1 | Int(next)
        }
        node = 1
        var left = width
        while left > 0, node < 1 << Self.learntBits {
            left -= 1
            let next = number >> UInt32(left) & 1
            coder.encode(next, &heads[width << Self.learntBits + node])
            node = node << 1 | Int(next)
        }
        while left > 0 {
            let some = min(left, 8)
            left -= some
            coder.encode((number >> UInt32(left)) & ((1 << UInt32(some)) - 1), bits: UInt32(some))
        }
    }

    /// The value; any bytes give one below 2^15.
    mutating func decode(
        context: Int = 0, from coder: inout RangeDecoder, _ bytes: RawSpan
    ) -> Int {
        var node = 1
        for _ in 0..<Self.widthBits {
            let next = coder.decode(&widths[context << Self.widthBits + node], bytes)
            node = node << 1 | Int(next)
        }
        let width = node - (1 << Self.widthBits)
        node = 1
        var left = width
        var number = 1
        while left > 0, node < 1 << Self.learntBits {
            left -= 1
            let next = Int(coder.decode(&heads[width << Self.learntBits + node], bytes))
            node = node << 1 | next
            number = number << 1 | next
        }
        while left > 0 {
            let some = min(left, 8)
            left -= some
            number = number << some | Int(coder.decode(bits: UInt32(some), bytes))
        }
        return number - 1
    }

    /// Bits behind the leading 1 of `value + 1`.
    static func width(of value: Int) -> Int { Int.bitWidth - 1 - (value + 1).leadingZeroBitCount }
}
