import Inference
import Tensors
import Testing

@Suite struct SamplerTests {
    /// How often each of `count` tokens is drawn.
    private func counts(
        _ logits: [Float], _ sampling: Sampling, draws: Int = 20_000, vocabulary: Int? = nil
    ) -> [Int] {
        var sampler = Sampler(sampling, seed: 1, vocabulary: vocabulary ?? logits.count)
        let buffer = FloatBuffer(logits)
        var counts = Array(repeating: 0, count: logits.count)
        for _ in 0..<draws { counts[Int(sampler.sample(buffer))] += 1 }
        return counts
    }

    @Test func greedyTakesTheLowestOfTheBest() {
        #expect(counts([0, 3, -1, 3], .greedy, draws: 3) == [0, 3, 0, 0])
    }

    @Test func frequenciesFollowProbabilities() throws {
        // Probabilities 1/7, 2/7, 4/7.
        let logits: [Float] = [0, 0.693_147_2, 1.386_294_4]
        let found = counts(logits, try Sampling())
        for (count, expected) in zip(found, [1, 2, 4]) {
            #expect(abs(Double(count) / 20_000 - Double(expected) / 7) < 0.01)
        }
        // Half the temperature squares them: 1/21, 4/21, 16/21.
        let cold = counts(logits, try Sampling(temperature: 0.5))
        for (count, expected) in zip(cold, [1, 4, 16]) {
            #expect(abs(Double(count) / 20_000 - Double(expected) / 21) < 0.01)
        }
    }

    @Test func topKKeepsTheMostProbable() throws {
        let found = counts([1, 3, 2, 3], try Sampling(topK: 2))
        #expect(found[0] == 0 && found[2] == 0 && found[1] > 9000 && found[3] > 9000)
        #expect(counts([1, 3, 2], try Sampling(topK: 1), draws: 50) == [0, 50, 0])
        #expect(counts([1, 3, 2], try Sampling(topK: 9)).allSatisfy { $0 > 0 })
    }

    @Test func topPKeepsTheFewestThatReachIt() throws {
        // Probabilities 4/7, 2/7, 1/7: the first alone reaches 0.5, two reach 0.6.
        let logits: [Float] = [1.386_294_4, 0.693_147_2, 0]
        #expect(counts(logits, try Sampling(topP: 0.5), draws: 100) == [100, 0, 0])
        let two = counts(logits, try Sampling(topP: 0.6))
        #expect(two[2] == 0 && abs(Double(two[1]) / 20_000 - 1.0 / 3) < 0.01)
        #expect(counts(logits, try Sampling(topP: 1e-9), draws: 100) == [100, 0, 0])
    }

    @Test func equalSeedsDrawEqually() throws {
        let logits = FloatBuffer((0..<50).map { Float($0 % 7) })
        func draws(_ seed: UInt64) throws -> [Int32] {
            var sampler = Sampler(try Sampling(), seed: seed, vocabulary: 50)
            return (0..<100).map { _ in sampler.sample(logits) }
        }
        #expect(try draws(5) == draws(5))
        #expect(try draws(5) != draws(6))
    }

    @Test func paddingOfTheVocabularyIsNeverDrawn() throws {
        #expect(counts([0, 9, 0, 99], try Sampling(), vocabulary: 3)[3] == 0)
        #expect(counts([0, 9, 0, 99], .greedy, draws: 1, vocabulary: 3) == [0, 1, 0, 0])
    }

    @Test func brokenLogits() throws {
        for sampling in [Sampling.greedy, try Sampling()] {
            #expect(counts([.nan, 1, -.infinity], sampling, draws: 100) == [0, 100, 0])
            #expect(counts([0, .infinity, 1], sampling, draws: 100) == [0, 100, 0])
            #expect(counts([.nan, .nan], sampling, draws: 1) == [1, 0])
            #expect(counts([-.infinity, -.infinity], sampling, draws: 1) == [1, 0])
        }
    }

    @Test(arguments: [
        (-0.1, 0, 1.0), (.nan, 0, 1), (.infinity, 0, 1), (1, -1, 1), (1, 0, 0), (1, 0, 1.1),
        (1, 0, .nan),
    ])
    func valuesOutOfRange(temperature: Double, topK: Int, topP: Double) {
        let error = #expect(throws: InferenceError.self) {
            try Sampling(temperature: temperature, topK: topK, topP: topP)
        }
        #expect(error?.code == .invalidSampling)
    }
}
