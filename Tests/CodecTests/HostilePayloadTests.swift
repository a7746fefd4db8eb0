import Foundation
import LocalSGD
import NIOCore
import Tensors
import Testing

@testable import Codec

/// What strangers send is refused, or all its numbers are finite.
///
/// No memory is measured. Of sizes the tests see only that whatever a table or a frame states,
/// another one than is expected is refused.
@Suite struct HostilePayloadTests {
    private static let count = 700

    private func payload(_ codec: Codec) throws -> [UInt8] {
        var numbers = Numbers(seed: 1)
        return try codec.encode(.gradient(numbers.steep(Self.count))).bytes
    }

    /// It is refused, or all its numbers are finite; check and sum agree on which.
    private func judge(_ bytes: [UInt8], _ codec: Codec, count: Int = Self.count) -> Bool {
        let payload = ByteBuffer(bytes: bytes)
        do throws(CodecError) { try codec.check(payload, count: count) } catch {
            guard count <= 1 << 21 else { return false }
            #expect(throws: CodecError.self) { try codec.decode(payload, count: count) }
            return false
        }
        guard let values = try? codec.decode(payload, count: count) else {
            Issue.record("what was checked does not decode")
            return false
        }
        #expect(values.allFinite)
        return true
    }

    @Test(arguments: Codec.lossy + [.raw, .topK(kept: 4096), .dense(.bf16, isCompressed: false)])
    func longPayloadsAreRefusedAndNoneIsMadeThatLong(_ codec: Codec) throws {
        for count in [0, 1, 2, 127, 4097, 20_000] {
            let most = Codec.bytesMax(count: count)
            var numbers = Numbers(seed: UInt64(count))
            // Of any magnitude, so that nothing can be foreseen of them.
            let values = FloatBuffer(
                (0..<count).map { _ in
                    numbers.next()
                        * Float(sign: .plus, exponent: Int(40 * numbers.next()), significand: 1)
                })
            let payload = try codec.encode(.gradient(values))
            #expect(payload.readableBytes <= most, "\(count) numbers")
            let long = ByteBuffer(repeating: 0, count: most + 1)
            let error = #expect(throws: CodecError.self) { try codec.check(long, count: count) }
            #expect(error?.code == .wrongLength)
        }
    }

    @Test(arguments: Codec.lossy)
    func everyTruncationIsRefused(_ codec: Codec) throws {
        let bytes = try payload(codec)
        #expect(judge(bytes, codec))
        for length in 0..<bytes.count { #expect(!judge(Array(bytes[..<length]), codec)) }
        #expect(!judge(bytes + [0], codec))
    }

    @Test(arguments: Codec.lossy)
    func everyBitFlipIsHarmless(_ codec: Codec) throws {
        var bytes = try payload(codec)
        for bit in 0..<8 * bytes.count {
            bytes[bit / 8] ^= 1 << UInt8(bit % 8)
            let isFine = judge(bytes, codec)
            // The table says what is expected, or nothing goes.
            if bit < 8 * 12 { #expect(!isFine, "bit \(bit)") }
            bytes[bit / 8] ^= 1 << UInt8(bit % 8)
        }
    }

    @Test(arguments: Codec.lossy)
    func noiseIsHarmless(_ codec: Codec) throws {
        let bytes = try payload(codec)
        var numbers = Numbers(seed: 2)
        for _ in 0..<200 {
            var noise = bytes
            for index in 12..<noise.count {
                noise[index] = UInt8(truncatingIfNeeded: numbers.next().bitPattern >> 5)
            }
            _ = judge(noise, codec)
        }
        for value in [UInt8(0), 255] {
            _ = judge(bytes[..<12] + [UInt8](repeating: value, count: bytes.count - 12), codec)
        }
    }

    @Test(arguments: Codec.lossy)
    func anotherCountOrCodecIsRefused(_ codec: Codec) throws {
        let bytes = try payload(codec)
        for count in [0, 1, Self.count - 1, Self.count + 1, 1 << 21, 1 << 40] {
            #expect(!judge(bytes, codec, count: count))
        }
        for other in Codec.lossy where try payload(other)[1...3] != bytes[1...3] {
            #expect(!judge(bytes, other))
        }
    }

    /// A frame that states more than is expected, or less, or hides what it states.
    @Test func zipBombsAreRefused() throws {
        let count = 1 << 16
        let codec = Codec.int8
        let size = BlockFormat.int8.byteCount(of: count)
        func wrapped(_ frame: [UInt8]) -> [UInt8] {
            SegmentTable.payload(codec: 2, kept: 0, count: count, [frame])
        }
        func frame(_ size: Int) throws -> [UInt8] {
            try #require(Zstandard.compress(Buffer<UInt8>(count: size)))
        }
        #expect(judge(wrapped(try frame(size)), codec, count: count))
        for wrong in [size - 1, size + 1, 1 << 24] {
            #expect(!judge(wrapped(try frame(wrong)), codec, count: count))
        }
        // Two frames, and a skippable one before.
        #expect(!judge(wrapped(try frame(size / 2) + frame(size / 2)), codec, count: count))
        let skippable: [UInt8] = [0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 9]
        #expect(!judge(wrapped(try skippable + frame(size)), codec, count: count))
        #expect(!judge(wrapped(try frame(size) + skippable), codec, count: count))
        // A frame without its size: single segment off, window of 2^10 only.
        let blind: [UInt8] = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x00, 0x03, 0x00, 0xff, 0x00]
        #expect(!judge(wrapped(blind), codec, count: count))
    }

    /// Scales that stand for infinity or NaN, and exponents without room below.
    @Test func badCodebooksAreRefused() throws {
        for codec in [Codec.dense(.int8, isCompressed: false), .dense(.int4, isCompressed: false)] {
            var bytes = try payload(codec)
            for scale in [UInt8(0x7f), 0xff] {
                bytes[12] = 0x80
                bytes[13] = scale
                #expect(!judge(bytes, codec))
            }
        }
        var bytes = try payload(.dense(.fp4, isCompressed: false))
        for scale in [UInt8(1), 26, 255] {
            bytes[12] = scale
            #expect(!judge(bytes, .dense(.fp4, isCompressed: false)))
        }
    }

    /// Levels beyond what is finite, the lower one above the upper, and indices beyond the chunk.
    @Test func badSelectionsAreRefused() throws {
        func coded(_ body: (inout RangeEncoder, inout IntegerModel, inout IntegerModel) -> Void)
            -> [UInt8]
        {
            var coder = RangeEncoder()
            var (upper, lower) = (IntegerModel(), IntegerModel())
            body(&coder, &upper, &lower)
            return SegmentTable.payload(codec: 5, kept: 64, count: 64, [coder.finish()])
        }
        func levels(_ step: Int, _ below: Int, gap: Int? = nil) -> [UInt8] {
            coded { coder, upper, lower in
                upper.encode(step, to: &coder)
                lower.encode(below, to: &coder)
                guard let gap else { return }
                var gaps = IntegerModel(contexts: 16)
                gaps.encode(gap, to: &coder)
                var (sign, choice) = (AdaptiveBit(), AdaptiveBit())
                coder.encode(0, &sign)
                coder.encode(0, &choice)
            }
        }
        // One number of 64 is kept.
        #expect(judge(levels(2 * 0x3f0, 0, gap: 63), .topKUp, count: 64))
        #expect(!judge(levels(2 * 0x3f0, 0, gap: 64), .topKUp, count: 64))
        #expect(!judge(levels(2 * 0xff0, 0, gap: 0), .topKUp, count: 64))
        #expect(!judge(levels(2 * 0x3f0, 0x3f1, gap: 0), .topKUp, count: 64))
        #expect(!judge(levels(1, 0, gap: 0), .topKUp, count: 64))
        #expect(judge(levels(0, 0), .topKUp, count: 64))
        var longer = levels(2 * 0x3f0, 0, gap: 63) + [0]
        longer[8] += 1
        #expect(!judge(longer, .topKUp, count: 64), "a byte that nothing needs")
        #expect(!judge(levels(0, 0, gap: 1), .topKUp, count: 64))
    }

    /// The committed corpus of `make fuzz`, once: what a fuzzer found stays found.
    @Test func corpusIsHarmless() throws {
        let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .appendingPathComponent("../Fuzz/corpus/codec").standardizedFileURL.path
        let names = try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
        #expect(names.count >= 7)
        var sound = 0
        for name in names {
            let file = try #require(FileManager.default.contents(atPath: "\(folder)/\(name)"))
            let bytes = [UInt8](file)
            let count = Int(bytes[0]) | Int(bytes[1]) << 8
            let numbers: [(Codec, UInt8, Int)] = [
                (.bf16, 1, 0), (.int8, 2, 0), (.int4, 3, 0), (.fp4, 4, 0), (.topKUp, 5, 64),
                (.topK(kept: 1024), 5, 1024),
            ]
            for (codec, number, kept) in numbers {
                let payload = SegmentTable.payload(
                    codec: number, kept: kept, count: count, [Array(bytes[2...])])
                if judge(payload, codec, count: count) { sound += 1 }
            }
        }
        #expect(sound >= 6)
    }
}
