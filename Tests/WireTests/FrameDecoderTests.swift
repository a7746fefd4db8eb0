import NIOCore
import Testing
import Wire

@Suite struct FrameDecoderTests {
    @Test(arguments: GoldenFrame.all)
    func everyTruncationIsIncomplete(golden: GoldenFrame) throws {
        for length in 0..<golden.bytes.readableBytes {
            var decoder = FrameDecoder()
            decoder.append(golden.bytes.getSlice(at: 0, length: length) ?? ByteBuffer())
            #expect(try decoder.next() == nil, "\(length) bytes")
            #expect(decoder.isMidFrame == (length > 0))
        }
    }

    @Test(arguments: GoldenFrame.all)
    func everyFlippedBitIsRejected(golden: GoldenFrame) {
        for bit in 0..<golden.bytes.readableBytes * 8 {
            var bytes = golden.bytes
            let byte = bytes.getInteger(at: bit / 8, as: UInt8.self) ?? 0
            bytes.setInteger(byte ^ 1 << (bit % 8), at: bit / 8)
            #expect(throws: WireError.self, "bit \(bit)") { try FrameDecoder.frames(in: bytes) }
        }
    }

    /// A frame that is cut short and followed by another is not mistaken for a whole one.
    @Test(arguments: GoldenFrame.all)
    func everyTruncationFollowedByAFrameIsRejected(golden: GoldenFrame) {
        for length in 1..<golden.bytes.readableBytes {
            var bytes = golden.bytes.getSlice(at: 0, length: length) ?? ByteBuffer()
            bytes.writeImmutableBuffer(golden.bytes)
            bytes.writeImmutableBuffer(golden.bytes)
            #expect(throws: WireError.self, "\(length) bytes") {
                try FrameDecoder.frames(in: bytes)
            }
        }
    }

    @Test func anySplitGivesTheSameFrames() throws {
        let frames = GoldenFrame.all.map(\.frame)
        let bytes = ByteBuffer(joining: GoldenFrame.all.map(\.bytes))
        for size in 1...bytes.readableBytes {
            #expect(try FrameDecoder.frames(in: bytes, pieceBytes: size) == frames, "\(size)")
        }
        for split in 0...bytes.readableBytes {
            var decoder = FrameDecoder()
            var rest = bytes
            decoder.append(rest.readSlice(length: split) ?? ByteBuffer())
            decoder.append(rest)
            var found: [Frame] = []
            while let frame = try decoder.next() { found.append(frame) }
            #expect(found == frames, "split at \(split)")
            #expect(!decoder.isMidFrame)
        }
    }

    /// Garbage, and golden frames with garbage written over a part of them: nothing crashes, and
    /// whatever comes out are frames that went in.
    @Test func randomBytesAreSurvived() {
        var generator = Xorshift(seed: 42)
        let sent = GoldenFrame.all.map(\.frame)
        var rejected = 0
        for round in 0..<100_000 {
            let golden = GoldenFrame.all[round % GoldenFrame.all.count]
            var bytes = round % 3 == 0 ? ByteBuffer() : golden.bytes
            let start = Int.random(in: 0...bytes.readableBytes, using: &generator)
            let count = Int.random(in: 1...60, using: &generator)
            let noise = (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) }
            bytes.setBytes(noise, at: start)
            bytes.moveWriterIndex(to: max(bytes.writerIndex, start + count))
            do {
                let frames = try FrameDecoder.frames(
                    in: bytes, pieceBytes: Int.random(in: 1...100, using: &generator))
                if !frames.allSatisfy(sent.contains) { Issue.record("round \(round): \(frames)") }
            } catch {
                rejected += 1
            }
        }
        #expect(rejected > 50_000)
    }

    @Test func anErrorIsForGood() throws {
        var decoder = FrameDecoder()
        decoder.append(ByteBuffer(repeating: 0x41, count: 64))
        let error = WireError(.notAFrame, "expected a frame, found 0x41414141")
        #expect(throws: error) { try decoder.next() }
        decoder.append(GoldenFrame.all[0].bytes)
        #expect(throws: error) { try decoder.next() }
    }

    @Test(arguments: [
        (header(version: 2), WireError.Code.version), (header(kind: 0), .malformed),
        (header(kind: 11), .malformed), (header(flags: 1), .malformed),
        (header(reserved: 1), .malformed), (header(kind: 8, messageBytes: 1), .malformed),
        (header(kind: 6, bulkBytes: 1), .malformed), (header(magic: 0), .notAFrame),
        (header(checksumError: 1), .checksum), (header(bodyChecksum: 1), .checksum),
        (header(messageBytes: .max), .limit), (header(bulkBytes: .max), .limit),
        (header(messageBytes: (1 << 20) + 1), .limit), (header(bulkBytes: (1 << 30) + 1), .limit),
    ])
    func headersThatNobodySends(bytes: ByteBuffer, code: WireError.Code) {
        let error = #expect(throws: WireError.self) { try FrameDecoder.frames(in: bytes) }
        #expect(error?.code == code)
    }

    /// Lengths within the limits are believed, but no memory is taken for them.
    @Test func announcedBytesTakeNoMemory() throws {
        let limits = FrameLimits(messageBytesMax: .max, bulkBytesMax: .max)
        for bytes in [header(messageBytes: .max - 8), header(bulkBytes: .max - 8)] {
            var decoders: [FrameDecoder] = []
            for _ in 0..<256 {
                // 1 TiB announced; a machine that gave it would not be here any more.
                var decoder = FrameDecoder(limits: limits)
                decoder.append(bytes)
                #expect(try decoder.next() == nil)
                decoders.append(decoder)
            }
            #expect(decoders.allSatisfy { $0.heldBytes <= 2 * FrameDecoder.reservationBytesMax })
        }
    }

    @Test func limitsCanChangeBetweenFrames() throws {
        let call = GoldenFrame.all[3]
        var decoder = FrameDecoder(limits: FrameLimits(messageBytesMax: 64, bulkBytesMax: 0))
        decoder.append(GoldenFrame.all[0].bytes)
        #expect(try decoder.next() == GoldenFrame.all[0].frame)
        decoder.limits = FrameLimits()
        decoder.append(call.bytes)
        #expect(try decoder.next() == call.frame)
        decoder.limits.bulkBytesMax = 0
        decoder.append(call.bytes)
        #expect(throws: WireError(.limit, "bulk of 8 bytes exceeds the limit of 0")) {
            try decoder.next()
        }
    }
}

/// A header of an empty call, right but for what is given.
private func header(
    magic: UInt32 = 0x4C54_524D, version: UInt16 = 1, kind: UInt8 = 4, flags: UInt8 = 0,
    reserved: UInt16 = 0, messageBytes: UInt32 = 0, bulkBytes: UInt32 = 0,
    bodyChecksum: UInt32 = 0, checksumError: UInt32 = 0
) -> ByteBuffer {
    var bytes = ByteBuffer()
    bytes.writeMultipleIntegers(magic, version, kind, flags, UInt64(1), endianness: .little)
    bytes.writeMultipleIntegers(
        UInt16(1), reserved, UInt32(0), messageBytes, bulkBytes, bodyChecksum, endianness: .little)
    bytes.writeInteger(Checksum.of(bytes) ^ checksumError, endianness: .little)
    return bytes
}
