import Tensors
import Testing

@Suite struct AttentionOperationsTests {
    private let operations = Operations<Double>.reference

    @Test(arguments: [(4, 4, 2), (4, 2, 3), (3, 1, 1)])
    func gradients(heads: Int, keyValueHeads: Int, valueWidth: Int) {
        var numbers = TestNumbers(seed: 7)
        let shape = AttentionShape(
            batch: 2, tokens: 4, heads: heads, keyValueHeads: keyValueHeads, headWidth: 2,
            valueWidth: valueWidth, scale: 0.7)
        let q = numbers.buffer(shape.queryCount)
        let k = numbers.buffer(shape.keyCount)
        let v = numbers.buffer(shape.valueCount)
        let dout = numbers.buffer(shape.outputCount)
        let out = stale(shape.outputCount)
        let logSumExp = stale(shape.logSumExpCount)
        let dq = stale(shape.queryCount)
        let dk = stale(shape.keyCount)
        let dv = stale(shape.valueCount)
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
            batch: 1, tokens: T, heads: 4, keyValueHeads: 2, headWidth: 2, valueWidth: 3,
            scale: 0.5)
        let q = numbers.buffer(whole.queryCount)
        let k = numbers.buffer(capacity * 4)
        let v = numbers.buffer(capacity * 6)
        let expected = stale(whole.outputCount)
        operations.attention(whole, q: q, k: k, v: v, out: expected, logSumExp: stale(20))
        var last = whole
        last.tokens = 2
        let out = stale(last.outputCount)
        operations.attentionCached(
            last, capacity: capacity, lengths: Buffer([Int32(T)]), q: q[24..<40], k: k, v: v,
            out: out)
        expectEqual(out, expected[36..<60].array, tolerance: 1e-14)
    }

    @Test func latentHeads() {
        var numbers = TestNumbers(seed: 12)
        let shape = LatentHeadsShape(rows: 2, heads: 3, plain: 2, rotated: 4, value: 1)
        let kv = numbers.buffer(18)
        let rotated = numbers.buffer(8)
        let dk = numbers.buffer(36)
        let dv = numbers.buffer(6)
        let (k, v, dkv, drotated) = (stale(36), stale(6), stale(18), stale(8))
        operations.latentHeads(shape, kv: kv, rotated: rotated, k: k, v: v)
        expectEqual(k[6..<12], kv[3..<5].array + rotated[0..<4].array, tolerance: 0)
        expectEqual(v[1..<2], [kv[5]], tolerance: 0)
        operations.latentHeadsBackward(shape, dk: dk, dv: dv, dkv: dkv, drotated: drotated)
        expectGradients(Checked("kv", kv, dkv), Checked("rotated", rotated, drotated)) {
            operations.latentHeads(shape, kv: kv, rotated: rotated, k: k, v: v)
            return dot(k, dk) + dot(v, dv)
        }
    }
}
