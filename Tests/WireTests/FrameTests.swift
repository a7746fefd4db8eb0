import NIOCore
import Testing
import Wire

@Suite struct FrameTests {
    @Test func everyKindHasAGoldenFrame() {
        #expect(Set(GoldenFrame.all.map(\.frame.kind)) == Set(Frame.Kind.allCases))
    }

    @Test(arguments: GoldenFrame.all)
    func bytesAreTheGoldenOnes(golden: GoldenFrame) throws {
        #expect(ByteBuffer(joining: FrameEncoder.encode(golden.frame)) == golden.bytes)
        #expect(try FrameDecoder.frames(in: golden.bytes) == [golden.frame])
        #expect(golden.frame.byteCount == golden.bytes.readableBytes)
    }

    @Test func bulkIsSentAsItIs() throws {
        let bulk = ByteBuffer(repeating: 7, count: 4096)
        let pieces = FrameEncoder.encode(Frame(kind: .call, payload: WirePayload(bulk: bulk)))
        #expect(pieces.count == 2)
        let (sent, given) = (pieces[1], bulk)
        let isSame = unsafe sent.withUnsafeReadableBytes { sent in
            unsafe given.withUnsafeReadableBytes { unsafe sent.baseAddress == $0.baseAddress }
        }
        #expect(isSame)
    }

    @Test(arguments: [
        (Duration?.none, Duration?.none), (.zero, .milliseconds(1)),
        (.nanoseconds(1), .milliseconds(1)), (.milliseconds(5), .milliseconds(5)),
        (.microseconds(5001), .milliseconds(6)), (.seconds(-3), .milliseconds(1)),
        (.seconds(1 << 40), .milliseconds(UInt32.max)),
    ])
    func deadlinesRoundUp(given: Duration?, arriving: Duration?) throws {
        let bytes = ByteBuffer(
            joining: FrameEncoder.encode(Frame(kind: .call, deadline: given)))
        #expect(try FrameDecoder.frames(in: bytes).first?.deadline == arriving)
    }

    @Test func whatNoPeerAcceptsIsNotSent() async {
        await #expect(processExitsWith: .failure) {
            _ = FrameEncoder.encode(
                Frame(kind: .failure, payload: WirePayload(bulk: ByteBuffer(bytes: [1]))))
        }
        await #expect(processExitsWith: .failure) {
            _ = FrameEncoder.encode(
                Frame(kind: .ping, payload: WirePayload(message: ByteBuffer(bytes: [1]))))
        }
    }

    @Test func limitsAreCheckedBeforeSending() {
        let limits = FrameLimits(messageBytesMax: 4, bulkBytesMax: 8)
        let fits = WirePayload(
            message: ByteBuffer(repeating: 0, count: 4), bulk: ByteBuffer(repeating: 0, count: 8))
        #expect(throws: Never.self) { try limits.check(Frame(kind: .call, payload: fits)) }
        var large = fits
        large.message.writeInteger(UInt8(0))
        #expect(throws: WireError(.limit, "a message of 5 bytes exceeds the limit of 4")) {
            try limits.check(Frame(kind: .call, payload: large))
        }
        large = fits
        large.bulk.writeInteger(UInt8(0))
        #expect(throws: WireError(.limit, "bulk of 9 bytes exceeds the limit of 8")) {
            try limits.check(Frame(kind: .call, payload: large))
        }
    }
}
