/// Finds the merges of a byte-pair encoding for counted words.
///
/// Pairs are counted once; each merge then only touches the words that hold its pair, and changes
/// the counts of the pairs beside it.
struct MergeLearner {
    struct Pair: Hashable {
        let left: Int32
        let right: Int32

        var bits: UInt64 {
            UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
        }
    }

    /// The tokens as the file spells them, by id.
    private(set) var spellings: [[UInt8]] = []
    /// The merges, in the order in which they were learned.
    private(set) var merges: [Pair] = []
    private var ids: [[UInt8]: Int32] = [:]
    /// The symbols of all words, one word behind the other; what was merged away leaves room.
    private var symbols: [Int32] = []
    private var wordStarts: [Int] = []
    private var wordLengths: [Int32] = []
    private var wordCounts: [Int] = []
    private var pairCounts: [Pair: Int] = [:]
    private let idOfByte: [Int32]

    /// What waits to be merged: a pair, how common it was when last looked at, and where it is.
    private struct Candidate {
        var count: Int
        let pair: Pair
        let words: [Int32]

        /// Whether it goes before `other`: the commoner, then the one of lower ids.
        func precedes(_ other: Candidate) -> Bool {
            count != other.count ? count > other.count : pair.bits < other.pair.bits
        }
    }

    private var queue: [Candidate] = []

    init(special: [String]) {
        spellings = special.map { Array($0.utf8) }
        // Bytes in the order of the letters that stand for them.
        let letters = (UInt8.min...UInt8.max)
            .map { (letter: ByteAlphabet.symbol(of: $0).unicodeScalars.first, byte: $0) }
            .sorted { ($0.letter?.value ?? 0) < ($1.letter?.value ?? 0) }
        var idOfByte = [Int32](repeating: 0, count: 256)
        for (letter, byte) in letters {
            idOfByte[Int(byte)] = Int32(spellings.count)
            spellings.append(letter.map { Array(String($0).utf8) } ?? [])
        }
        self.idOfByte = idOfByte
        for (id, spelling) in spellings.enumerated() { ids[spelling] = Int32(id) }
    }

    mutating func add(_ word: ArraySlice<UInt8>, count: Int) {
        wordStarts.append(symbols.count)
        wordLengths.append(Int32(word.count))
        wordCounts.append(count)
        for byte in word { symbols.append(idOfByte[Int(byte)]) }
    }

    /// Merges until there are `vocabularySize` tokens, or no pairs.
    mutating func learn(vocabularySize: Int, progress: (Int) -> Void) {
        countPairs()
        while spellings.count < vocabularySize, var top = pop() {
            let count = pairCounts[top.pair] ?? 0
            if top.count != count {
                // It became rarer while it waited.
                top.count = count
                if count > 0 { push(top) }
                continue
            }
            guard count > 0 else { break }
            let token = token(of: top.pair)
            merges.append(top.pair)
            merge(top, into: token)
            if merges.count.isMultiple(of: 256) { progress(merges.count) }
        }
        progress(merges.count)
    }

    /// The token that a merge makes, which may be there already, made of other parts.
    private mutating func token(of pair: Pair) -> Int32 {
        let spelling = spellings[Int(pair.left)] + spellings[Int(pair.right)]
        if let id = ids[spelling] { return id }
        let id = Int32(spellings.count)
        spellings.append(spelling)
        ids[spelling] = id
        return id
    }

    private mutating func countPairs() {
        var places: [Pair: [Int32]] = [:]
        for word in wordStarts.indices {
            let start = wordStarts[word]
            let length = Int(wordLengths[word])
            guard length > 1 else { continue }
            for index in start..<start + length - 1 {
                let pair = Pair(left: symbols[index], right: symbols[index + 1])
                pairCounts[pair, default: 0] += wordCounts[word]
                Self.append(word, to: &places[pair, default: []])
            }
        }
        for (pair, words) in places {
            push(Candidate(count: pairCounts[pair] ?? 0, pair: pair, words: words))
        }
    }

    private static func append(_ word: Int, to words: inout [Int32]) {
        if words.last != Int32(word) { words.append(Int32(word)) }
    }

    /// Merges the pair in its words, and puts the pairs that come of it into the queue.
    private mutating func merge(_ top: Candidate, into token: Int32) {
        var places: [Pair: [Int32]] = [:]
        for word in top.words {
            merge(top.pair, into: token, word: Int(word), &places)
        }
        for (pair, words) in places {
            let count = pairCounts[pair] ?? 0
            if count > 0 { push(Candidate(count: count, pair: pair, words: words)) }
        }
    }

    private mutating func merge(
        _ pair: Pair, into token: Int32, word: Int, _ places: inout [Pair: [Int32]]
    ) {
        let start = wordStarts[word]
        let count = wordCounts[word]
        func lose(_ left: Int32, _ right: Int32, _ counts: inout [Pair: Int]) {
            counts[Pair(left: left, right: right), default: 0] -= count
        }
        func gain(_ left: Int32, _ right: Int32, _ counts: inout [Pair: Int]) {
            let pair = Pair(left: left, right: right)
            counts[pair, default: 0] += count
            Self.append(word, to: &places[pair, default: []])
        }
        // What was read moves to where it is written: one pass, however many merges.
        var (read, written) = (start, start)
        let end = start + Int(wordLengths[word])
        while read < end {
            guard read + 1 < end, symbols[read] == pair.left, symbols[read + 1] == pair.right
            else {
                symbols[written] = symbols[read]
                (read, written) = (read + 1, written + 1)
                continue
            }
            if written > start {
                lose(symbols[written - 1], pair.left, &pairCounts)
                gain(symbols[written - 1], token, &pairCounts)
            }
            if read + 2 < end {
                lose(pair.right, symbols[read + 2], &pairCounts)
                gain(token, symbols[read + 2], &pairCounts)
            }
            symbols[written] = token
            (read, written) = (read + 2, written + 1)
        }
        wordLengths[word] = Int32(written - start)
    }

    // MARK: The queue, a binary heap

    private mutating func push(_ candidate: Candidate) {
        var index = queue.count
        queue.append(candidate)
        while index > 0, queue[index].precedes(queue[(index - 1) / 2]) {
            queue.swapAt(index, (index - 1) / 2)
            index = (index - 1) / 2
        }
    }

    private mutating func pop() -> Candidate? {
        guard let last = queue.popLast() else { return nil }
        guard let top = queue.first else { return last }
        queue[0] = last
        var index = 0
        while true {
            var child = 2 * index + 1
            guard child < queue.count else { break }
            if child + 1 < queue.count, queue[child + 1].precedes(queue[child]) { child += 1 }
            guard queue[child].precedes(queue[index]) else { break }
            queue.swapAt(child, index)
            index = child
        }
        return top
    }
}
