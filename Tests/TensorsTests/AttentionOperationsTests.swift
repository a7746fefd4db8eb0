import Tensors
import Testing

@Suite struct AttentionOperationsTests {
    private let operations = Operations<Double>.reference

    @Test(arguments: [(4, 4), (4, 2), (3, 1)])
    func gradients(heads: Int, keyValueHeads: Int) {
        var numbers = TestNumbers(seed: 7)
        let shape = AttentionShape(
            batch: 2, tokens: 4, heads: heads, keyValueHeads: keyValueHeads, headWidth: 2,
            scale: 0.7)
        let q = numbers.buffer(shape.queryCount)
        let k = numbers.buffer(shape.keyCount)
        let v = numbers.buffer(shape.keyCount)
        let dout = numbers.buffer(shape.queryCount)
        let out = stale(shape.queryCount)
        let logSumExp = stale(shape.logSumExpCount)
        let dq = stale(shape.queryCount)
        let dk = stale(shape.keyCount)
        let dv = stale(shape.keyCount)
        operations.attention(shape, q: q, k: k, v: v, out: out, logSumExp: logSumExp)
        operations.attentionBackward(
            shape, q: q, k: k, v: v, out: out, logSumExp: logSumExp, dout: dout, dq: dq, dk: dk,
            dv: dv)
        expectGradients(Checked("q", q, dq), Checked("k", k, dk), Checked("v", v, dv)) {
            operations.attention(shape, q: q, k: k, v: v, out: out, logSumExp: logSumExp)
            return dot(out, dout)
        }
    }

    @Test func aTokenSeesNothingAfterItself() {
        var numbers = TestNumbers(seed: 8)
        let shape = AttentionShape(
            batch: 1, tokens: 3, heads: 1, keyValueHeads: 1, headWidth: 2, scale: 1)
        let q = numbers.buffer(6)
        let k = numbers.buffer(6)
        let v = numbers.buffer(6)
        let before = stale(6)
        let after = stale(6)
        let logSumExp = stale(3)
        operations.attention(shape, q: q, k: k, v: v, out: before, logSumExp: logSumExp)
        for index in 4..<6 {
            k[index] = 100
            v[index] = 100
        }
        operations.attention(shape, q: q, k: k, v: v, out: after, logSumExp: logSumExp)
        expectEqual(after[0..<4], before[0..<4].array, tolerance: 0)
        expectEqual(before[0..<2], v[0..<2].array)
    }

    @Test func overACacheAsOverTheWholeSequence() {
        var numbers = TestNumbers(seed: 9)
        let (T, capacity) = (5, 7)
        let whole = AttentionShape(
            batch: 1, tokens: T, heads: 4, keyValueHeads: 2, headWidth: 2, scale: 0.5)
        let q = numbers.buffer(whole.queryCount)
        let k = numbers.buffer(capacity * 4)
        let v = numbers.buffer(capacity * 4)
        let expected = stale(whole.queryCount)
        operations.attention(whole, q: q, k: k, v: v, out: expected, logSumExp: stale(20))
        var last = whole
        last.tokens = 2
        let out = stale(last.queryCount)
        operations.attentionCached(
            last, capacity: capacity, lengths: Buffer([Int32(T)]), q: q[24..<40], k: k, v: v,
            out: out)
        expectEqual(out, expected[24..<40].array, tolerance: 1e-14)
    }
}
