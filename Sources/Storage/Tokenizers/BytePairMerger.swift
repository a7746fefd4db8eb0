/// Merges the symbols of one word, the earliest merge first and of equal ones the leftmost.
///
/// Short words are scanned again for each merge, which their symbols being neighbours in memory
/// makes the fastest; in long ones a heap finds the next, so that no word takes quadratic time.
struct BytePairMerger: Sendable {
    /// Most symbols of a word that is scanned.
    private static let scannedMax = 48
    private static let never = UInt32.max

    /// The word's symbols; tokens, after ``merge(by:)``.
    var symbols: [Int32] = []
    /// The rank at which each symbol merges with the next.
    private var ranks: [UInt32] = []
    private var previous: [Int32] = []
    private var next: [Int32] = []
    /// A binary heap of rank in the upper half and place in the lower.
    private var heap: [UInt64] = []

    mutating func merge(by merges: borrowing PairTable) {
        guard symbols.count > 1 else { return }
        ranks.removeAll(keepingCapacity: true)
        for index in 0..<symbols.count - 1 {
            ranks.append(merges[symbols[index], symbols[index + 1]]?.rank ?? Self.never)
        }
        ranks.append(Self.never)
        if symbols.count <= Self.scannedMax { mergeShort(merges) } else { mergeLong(merges) }
    }

    private mutating func mergeShort(_ merges: borrowing PairTable) {
        while true {
            var best = Self.never
            var place = 0
            for index in 0..<ranks.count where ranks[index] < best {
                best = ranks[index]
                place = index
            }
            guard best != Self.never,
                let merge = merges[symbols[place], symbols[place + 1]]
            else { return }
            symbols[place] = merge.token
            symbols.remove(at: place + 1)
            ranks.remove(at: place)
            func rank(_ index: Int) -> UInt32 {
                guard index + 1 < symbols.count else { return Self.never }
                return merges[symbols[index], symbols[index + 1]]?.rank ?? Self.never
            }
            ranks[place] = rank(place)
            if place > 0 { ranks[place - 1] = rank(place - 1) }
        }
    }

    private mutating func mergeLong(_ merges: borrowing PairTable) {
        let count = symbols.count
        previous = (0..<Int32(count)).map { $0 - 1 }
        next = (0..<Int32(count)).map { $0 + 1 }
        heap.removeAll(keepingCapacity: true)
        for place in 0..<count where ranks[place] != Self.never { push(ranks[place], place) }
        while let (rank, place) = pop() {
            let right = Int(next[place])
            // What was merged meanwhile has another rank by now, or none.
            guard ranks[place] == rank, right < count,
                let merge = merges[symbols[place], symbols[right]]
            else { continue }
            symbols[place] = merge.token
            ranks[right] = Self.never
            next[place] = next[right]
            if Int(next[place]) < count { previous[Int(next[place])] = Int32(place) }
            next[right] = -1
            update(place, merges)
            if previous[place] >= 0 { update(Int(previous[place]), merges) }
        }
        var kept = 0
        var place = 0
        while place < count {
            symbols[kept] = symbols[place]
            kept += 1
            place = Int(next[place])
        }
        symbols.removeSubrange(kept...)
    }

    /// Looks again at what the symbol at `place` merges to with its neighbour.
    private mutating func update(_ place: Int, _ merges: borrowing PairTable) {
        let right = Int(next[place])
        let merge = right < symbols.count ? merges[symbols[place], symbols[right]] : nil
        ranks[place] = merge?.rank ?? Self.never
        if let merge { push(merge.rank, place) }
    }

    // MARK: The heap

    private mutating func push(_ rank: UInt32, _ place: Int) {
        var index = heap.count
        heap.append(UInt64(rank) << 32 | UInt64(place))
        while index > 0, heap[(index - 1) / 2] > heap[index] {
            heap.swapAt(index, (index - 1) / 2)
            index = (index - 1) / 2
        }
    }

    private mutating func pop() -> (rank: UInt32, place: Int)? {
        guard let top = heap.first, let last = heap.popLast() else { return nil }
        if !heap.isEmpty {
            heap[0] = last
            var index = 0
            while true {
                var child = 2 * index + 1
                guard child < heap.count else { break }
                if child + 1 < heap.count, heap[child + 1] < heap[child] { child += 1 }
                guard heap[child] < heap[index] else { break }
                heap.swapAt(child, index)
                index = child
            }
        }
        return (UInt32(truncatingIfNeeded: top >> 32), Int(top & 0xffff_ffff))
    }
}
