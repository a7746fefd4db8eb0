import Testing

@testable import Tensors

/// Memory that is used again.
@Suite struct RegionPoolTests {
    @Test func regionsOfTheSameSizeAreUsedAgain() {
        var pool = RegionPool(heldBytesMax: 100)
        #expect(pool.keep(1, 40).isEmpty && pool.keep(2, 40).isEmpty)
        #expect(pool.take(30) == nil && pool.take(41) == nil)
        #expect(pool.take(40) == 2 && pool.take(40) == 1 && pool.take(40) == nil)
        #expect(pool.heldBytes == 0)
    }

    @Test func theOldestGoWhenThereAreTooMany() {
        var pool = RegionPool(heldBytesMax: 100)
        #expect(pool.keep(1, 40).isEmpty && pool.keep(2, 50).isEmpty)
        #expect(pool.keep(3, 60).map(\.address) == [1, 2])
        #expect(pool.heldBytes == 60)
        #expect(pool.keep(4, 101).map(\.address) == [3, 4])
        #expect(pool.heldBytes == 0 && pool.take(60) == nil)
    }

    @Test func usedMemoryComesBackCleared() {
        let count = 3 << 20
        for round in 1...20 {
            // Several sizes at a time, some of them the same.
            let buffers = [count, count, count + 1, 2 * count].map { FloatBuffer(count: $0) }
            for buffer in buffers {
                #expect(buffer.sumOfSquares == 0)
                buffer.fill(Float(round))
            }
            #expect(buffers[0].sumOfSquares == Double(round * round * count))
        }
    }
}
