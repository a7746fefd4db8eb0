import NIOCore
import Testing
import Wire

@Suite struct BulkPoolTests {
    private func bytes(of count: Int, _ value: UInt8) -> ByteBuffer {
        let bulk = ByteBuffer(repeating: value, count: count)
        return ByteBuffer(
            joining: FrameEncoder.encode(Frame(kind: .reply, payload: WirePayload(bulk: bulk))))
    }

    private func receive(_ bytes: ByteBuffer, _ pool: BulkPool) throws -> ByteBuffer {
        let frames = try FrameDecoder.frames(in: bytes, pieceBytes: 65_536, pool: pool)
        return try #require(frames.first).payload.bulk
    }

    private func place(_ buffer: ByteBuffer) -> UInt {
        unsafe buffer.withUnsafeReadableBytes { UInt(bitPattern: $0.baseAddress) }
    }

    @Test func memoryIsUsedAgainOnceItIsFree() throws {
        let pool = BulkPool()
        var first: ByteBuffer? = try receive(bytes(of: 1 << 20, 1), pool)
        let firstPlace = first.map(place)
        let second = try receive(bytes(of: 1 << 20, 2), pool)
        #expect(place(second) != firstPlace)
        #expect(first?.readableBytesView.allSatisfy { $0 == 1 } == true)
        first = nil
        let third = try receive(bytes(of: (1 << 20) - 5, 3), pool)
        #expect(place(third) == firstPlace)
        #expect(third.readableBytes == (1 << 20) - 5)
        #expect(third.readableBytesView.allSatisfy { $0 == 3 })
        #expect(second.readableBytesView.allSatisfy { $0 == 2 })
    }

    @Test func holdsNoMoreThanItMay() throws {
        let pool = BulkPool(heldBytesMax: 3 << 20)
        for value in 0..<8 { _ = try receive(bytes(of: 1 << 20, UInt8(value)), pool) }
        var held: [ByteBuffer] = []
        for value in 0..<8 { held.append(try receive(bytes(of: 1 << 20, UInt8(value)), pool)) }
        #expect(pool.heldBytes <= 3 << 20)
        for (value, buffer) in held.enumerated() {
            #expect(buffer.readableBytesView.allSatisfy { $0 == UInt8(value) })
        }
        _ = try receive(bytes(of: 8 << 20, 9), pool)
        #expect(pool.heldBytes <= 3 << 20)
    }

    @Test func smallBulkIsNotPooled() throws {
        let pool = BulkPool()
        _ = try receive(bytes(of: 1000, 1), pool)
        #expect(pool.heldBytes == 0)
    }
}
