import Storage
import Testing

@Suite struct TokenSourceTests {
    private func corpus(_ bytes: Int) -> Corpus {
        let text = (0..<bytes).map { UInt8(truncatingIfNeeded: 97 + $0 % 26) }
        return Corpus(
            documents: [CorpusDocument(name: "a", bytes: text)], heldOutFraction: 0.1)
    }

    @Test func cutsTheStreamIntoWindows() throws {
        let corpus = corpus(1_000)
        let source = try TokenSource(corpus: corpus, sequenceLength: 16, seed: 3)
        #expect(source.windowCount == (corpus.train.count - 1) / 16)
        #expect(source.heldOutCount == (corpus.heldOut.count - 1) / 16)
        let tokens = source.sequences(5..<8)
        #expect(tokens.count == 3 * 17)
        for (row, number) in (5..<8 as Range<UInt64>).enumerated() {
            let start = source.window(of: number) * 16
            #expect(
                Array(tokens[row * 17..<row * 17 + 17])
                    == corpus.train[start..<start + 17].map(Int32.init))
        }
        #expect(
            source.heldOutSequences(0..<source.heldOutCount).prefix(17).map(Int.init)
                == corpus.heldOut.prefix(17).map(Int.init))
        #expect(source.sequences(5..<5) == [])
    }

    @Test(arguments: 1...130) func everyEpochVisitsEveryWindowOnce(windows: Int) throws {
        // One token a window, so any number of windows can be had.
        let bytes = Array(repeating: UInt8(97), count: windows * 10)
        let source = try TokenSource(
            corpus: Corpus(
                documents: [CorpusDocument(name: "a", bytes: bytes)], heldOutFraction: 0.9),
            sequenceLength: 1, seed: 9)
        #expect(source.windowCount == windows)
        for epoch in 0..<3 as Range<UInt64> {
            let first = epoch * UInt64(windows)
            let visited = (first..<first + UInt64(windows)).map { source.window(of: $0) }
            #expect(visited.sorted() == Array(0..<windows))
        }
    }

    @Test func ordersDifferByEpochAndSeedAndLookRandom() throws {
        let corpus = corpus(12_000)
        let source = try TokenSource(corpus: corpus, sequenceLength: 2, seed: 1)
        let other = try TokenSource(corpus: corpus, sequenceLength: 2, seed: 2)
        let count = UInt64(source.windowCount)
        let first = (0..<count).map { source.window(of: $0) }
        let second = (count..<2 * count).map { source.window(of: $0) }
        let third = (0..<count).map { other.window(of: $0) }
        for (a, b) in [(first, second), (first, third), (first, Array(0..<Int(count)))] {
            // A random order agrees with another in one place on average.
            #expect(zip(a, b).count { $0 == $1 } < 12)
        }
        // Neighbours lie a third of all windows apart on average, and as often ahead as behind.
        let steps = zip(first, first.dropFirst()).map { $1 - $0 }
        let distance = Double(steps.reduce(0) { $0 + abs($1) }) / Double(steps.count)
        #expect(abs(distance / Double(count) - 1.0 / 3) < 0.02)
        #expect(abs(Double(steps.count { $0 > 0 }) / Double(steps.count) - 0.5) < 0.03)
    }

    /// Any worker, of any later version, must find the same window: these numbers never change.
    @Test func isTheSameEverywhere() throws {
        let source = try TokenSource(corpus: corpus(10_000), sequenceLength: 8, seed: 42)
        #expect(source.windowCount == 1_125)
        let windows = [0, 1, 2, 1_124, 1_125, 1 << 40].map { source.window(of: $0) }
        #expect(windows == [254, 942, 235, 658, 1053, 130])
        #expect(source.fingerprint == 13_688_480_432_381_190_916)
    }

    @Test func fingerprintsTellApart() throws {
        let base = try TokenSource(corpus: corpus(1_000), sequenceLength: 8, seed: 1).fingerprint
        #expect(
            try TokenSource(corpus: corpus(1_000), sequenceLength: 8, seed: 1).fingerprint == base)
        #expect(
            try TokenSource(corpus: corpus(1_001), sequenceLength: 8, seed: 1).fingerprint != base)
        #expect(
            try TokenSource(corpus: corpus(1_000), sequenceLength: 9, seed: 1).fingerprint != base)
        #expect(
            try TokenSource(corpus: corpus(1_000), sequenceLength: 8, seed: 2).fingerprint != base)
    }

    @Test func saysThatACorpusIsTooSmall() throws {
        let corpus = corpus(100)
        _ = try TokenSource(corpus: corpus, sequenceLength: 10, seed: 1)
        let error = #expect(throws: StorageError.self) {
            try TokenSource(corpus: corpus, sequenceLength: 11, seed: 1)
        }
        #expect(error?.code == .mismatch)
        #expect(error?.message.contains("11 held-out tokens") == true)
    }
}
