import Tensors
import Testing

/// Buffers that cannot hold their shapes, and indices that point nowhere, stop the program before a
/// kernel sees them.
@Suite struct ShapeCheckTests {
    @Test func aShortBuffer() async {
        await #expect(processExitsWith: .failure) {
            Operations<Float>.fast.linear(
                rows: 2, inputs: 3, outputs: 4, x: Buffer(count: 6), w: Buffer(count: 11),
                y: Buffer(count: 8))
        }
    }

    @Test func aTokenOutsideTheVocabulary() async {
        await #expect(processExitsWith: .failure) {
            Operations<Float>.fast.embedding(
                rows: 1, vocabulary: 4, width: 1, tokens: Buffer([4]), w: Buffer(count: 4),
                y: Buffer(count: 1))
        }
    }

    @Test func aTargetOutsideTheVocabulary() async {
        await #expect(processExitsWith: .failure) {
            _ = Operations<Float>.fast.headLoss(
                rows: 1, width: 1, vocabulary: 4, x: Buffer(count: 1), w: Buffer(count: 4),
                targets: Buffer([4]))
        }
    }

    @Test func offsetsThatFall() async {
        await #expect(processExitsWith: .failure) {
            let places = ExpertPlaces(
                width: 1, hidden: 1, gate: [0, 3], up: [1, 4], down: [2, 5])
            let two = FloatBuffer(count: 2)
            Operations<Float>.fast.experts(
                places, .everyToken(offsets: Buffer([0, 2, 1])), tokens: 1,
                parameters: Buffer(count: 6), x: two, weights: nil,
                buffers: ExpertBuffers(gate: two, up: two, hidden: two, rows: two), out: two)
        }
    }

    @Test func aCacheShorterThanItsLength() async {
        await #expect(processExitsWith: .failure) {
            let shape = AttentionShape(
                batch: 1, tokens: 1, heads: 1, keyValueHeads: 1, headWidth: 2, scale: 1)
            Operations<Float>.fast.attentionCached(
                shape, capacity: 2, lengths: Buffer([3]), q: Buffer(count: 2), k: Buffer(count: 4),
                v: Buffer(count: 4), out: Buffer(count: 2))
        }
    }

    @Test func emptyShapesAreFine() {
        let none = Buffer<Float>(count: 0)
        Operations.fast.linear(rows: 0, inputs: 3, outputs: 0, x: none, w: none, y: none)
        Operations.fast.add(count: 0, a: none, b: none, y: none)
    }
}
