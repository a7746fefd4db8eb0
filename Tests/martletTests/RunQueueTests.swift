import Synchronization
import Testing

@testable import martlet

@Suite("Runs made several at a time")
struct RunQueueTests {
    private struct Failure: Error, Equatable { let place: Int }

    /// Places in the order in which their runs began.
    private final class Begun: Sendable {
        private let places = Mutex<[Int]>([])

        var all: [Int] { places.withLock { $0 } }

        func add(_ place: Int) { places.withLock { $0.append(place) } }
    }

    @Test("Runs begin in their order, and only those that are asked for")
    func order() throws {
        let queue = RunQueue(tokens: [Int](repeating: 8, count: 5))
        let begun = Begun()
        try queue.make(0..<2, parallel: 1) { begun.add($0) }
        #expect(begun.all == [0, 1])
        try queue.make(2..<2, parallel: 3) { begun.add($0) }
        try queue.make(2..<5, parallel: 1) { begun.add($0) }
        #expect(begun.all == [0, 1, 2, 3, 4])
    }

    @Test("Several at a time, every run is made once", arguments: [1, 2, 9])
    func parallel(count: Int) throws {
        let queue = RunQueue(tokens: [Int](repeating: 8, count: 6))
        let begun = Begun()
        try queue.make(0..<6, parallel: count) { place in
            begun.add(place)
            queue.show(8, at: place)
        }
        #expect(begun.all.sorted() == [0, 1, 2, 3, 4, 5])
    }

    @Test("After a run that fails none begins, and its error is thrown")
    func failure() {
        let queue = RunQueue(tokens: [Int](repeating: 8, count: 4))
        let begun = Begun()
        #expect(throws: Failure(place: 1)) {
            try queue.make(0..<4, parallel: 1) { place in
                begun.add(place)
                if place == 1 { throw Failure(place: place) }
            }
        }
        #expect(begun.all == [0, 1])
    }
}
