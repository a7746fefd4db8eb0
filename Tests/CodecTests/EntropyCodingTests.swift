import Tensors
import Testing

@testable import Codec

/// T14 for what indices, levels and signs become: all that can be said comes back, and nothing is
/// left over.
///
/// The methods pack an index into 12 bits; here it is a gap, coded by what was learnt before.
@Suite("Entropy coding")
struct EntropyCodingTests {
    /// An integer and the context in which it is said.
    private typealias Said = (value: Int, context: Int)

    private static let contexts = 16

    /// What comes back of integers that are said one after the other; `nil` if bytes are left over
    /// or missing.
    private func roundTrip(_ said: [Said]) -> [Int]? {
        var coder = RangeEncoder()
        var model = IntegerModel(contexts: Self.contexts)
        for (value, context) in said { model.encode(value, context: context, to: &coder) }
        return Buffer<UInt8>(coder.finish()).withBytes { bytes -> [Int]? in
            var decoder = RangeDecoder(bytes)
            var model = IntegerModel(contexts: Self.contexts)
            var back: [Int] = []
            for (_, context) in said {
                back.append(model.decode(context: context, from: &decoder, bytes))
            }
            return decoder.isSound(bytes) && decoder.isFinished(bytes) ? back : nil
        }
    }

    private func expectBack(_ said: [Said]) throws {
        let back = try #require(roundTrip(said), "bytes are left over or missing")
        let wrong = zip(said, back).filter { $0.value != $1 }
        #expect(wrong.isEmpty, "\(wrong.count) of \(said.count), first \(wrong.prefix(3))")
    }

    @Test("T14: every integer comes back from bytes that say nothing else")
    func integersAlone() {
        let wrong = (0..<IntegerModel.end).filter { value in
            roundTrip([(value, value % Self.contexts)]) != [value]
        }
        #expect(wrong.isEmpty, "\(wrong.prefix(3))")
    }

    @Test("T14: every gap from 0 to 4095 comes back, after a gap of any width")
    func gaps() throws {
        // The widths of 0 to 4095, which are the contexts of gaps.
        #expect(IntegerModel.width(of: 0) == 0 && IntegerModel.width(of: 4095) == 12)
        var said: [Said] = []
        for width in 0...12 {
            for gap in 0..<TopKSelection.chunkCount { said.append((gap, width)) }
        }
        try expectBack(said)
    }

    @Test("T14: every integer comes back, whatever was said before it")
    func integersInAnyOrder() throws {
        let end = IntegerModel.end
        var said: [Said] = []
        // All of them each time, since the factors are odd and `end` is a power of 2.
        for factor in [1, 4093, 8191] {
            for step in 0..<end { said.append((step * factor % end, step % Self.contexts)) }
        }
        try expectBack(said)
    }

    @Test("T14: bits come back, however improbable they have become")
    func bits() {
        var numbers = Numbers(seed: 14)
        var said: [UInt32] = []
        for length in [1, 2, 100, 3000] {
            said += [UInt32](repeating: 0, count: length)
            said += [UInt32](repeating: 1, count: length)
        }
        for _ in 0..<3000 { said.append(numbers.next() < 0 ? 0 : 1) }
        var coder = RangeEncoder()
        var model = AdaptiveBit()
        for bit in said { coder.encode(bit, &model) }
        let back = Buffer<UInt8>(coder.finish()).withBytes { bytes -> [UInt32]? in
            var decoder = RangeDecoder(bytes)
            var model = AdaptiveBit()
            var back: [UInt32] = []
            for _ in said { back.append(decoder.decode(&model, bytes)) }
            return decoder.isSound(bytes) && decoder.isFinished(bytes) ? back : nil
        }
        #expect(back == said)
    }

    // MARK: Groups of bits

    private func coded(_ groups: [(value: UInt32, count: UInt32)]) -> [UInt8] {
        var coder = RangeEncoder()
        for (value, count) in groups { coder.encode(value, bits: count) }
        return coder.finish()
    }

    /// The values of groups of `counts` bits; `nil` if bytes are left over or missing.
    private func decoded(_ bytes: [UInt8], _ counts: [UInt32]) -> [UInt32]? {
        Buffer<UInt8>(bytes).withBytes { bytes -> [UInt32]? in
            var decoder = RangeDecoder(bytes)
            var values: [UInt32] = []
            for count in counts { values.append(decoder.decode(bits: count, bytes)) }
            return decoder.isSound(bytes) && decoder.isFinished(bytes) ? values : nil
        }
    }

    @Test("T14: groups of 1 to 8 bits come back, all values of each")
    func groupsOfBits() {
        var groups: [(value: UInt32, count: UInt32)] = []
        for count in 1...8 as ClosedRange<UInt32> {
            for value in 0..<UInt32(1) << count { groups.append((value, count)) }
        }
        groups += groups.reversed()
        let back = decoded(coded(groups), groups.map { $0.count })
        #expect(back == groups.map { $0.value })
    }

    /// The last group adds to a byte that is behind three of 255.
    @Test("T14: what carries goes through bytes of 255")
    func carries() {
        let values: [UInt32] = [255, 255, 0, 255, 255, 255]
        let before = coded(values.dropLast().map { (value: $0, count: 8) })
        #expect(before.prefix(5) == [255, 254, 255, 255, 255])
        let bytes = coded(values.map { (value: $0, count: 8) })
        #expect(bytes == [255, 255, 0, 0, 0, 254, 0, 0, 1, 0])
        #expect(decoded(bytes, values.map { _ in 8 }) == values)
    }
}
