import Tensors
import Testing

/// Every operation's backward against central differences of its forward, in fp64.
@Suite struct DenseOperationsTests {
    private let operations = Operations<Double>.reference

    @Test func embedding() {
        var numbers = TestNumbers(seed: 1)
        let tokens = Buffer<Int32>([2, 0, 2, 4])
        let w = numbers.buffer(5 * 3)
        let y = stale(4 * 3)
        let dy = numbers.buffer(4 * 3)
        let dw = Buffer<Double>(count: 5 * 3)
        operations.embeddingBackward(
            rows: 4, vocabulary: 5, width: 3, tokens: tokens, dy: dy, dw: dw)
        expectGradients(Checked("w", w, dw)) {
            operations.embedding(rows: 4, vocabulary: 5, width: 3, tokens: tokens, w: w, y: y)
            return dot(y, dy)
        }
    }

    @Test func linear() {
        var numbers = TestNumbers(seed: 2)
        let (M, I, O) = (3, 5, 4)
        let x = numbers.buffer(M * I)
        let w = numbers.buffer(O * I)
        let bias = numbers.buffer(O)
        let dy = numbers.buffer(M * O)
        let y = stale(M * O)
        let dx = stale(M * I)
        let dw = Buffer<Double>(count: O * I)
        let dbias = Buffer<Double>(count: O)
        operations.linearBackward(
            rows: M, inputs: I, outputs: O, x: x, w: w, dy: dy, dx: dx, dw: dw, dbias: dbias)
        expectGradients(Checked("x", x, dx), Checked("w", w, dw), Checked("bias", bias, dbias)) {
            operations.linear(rows: M, inputs: I, outputs: O, x: x, w: w, bias: bias, y: y)
            return dot(y, dy)
        }
    }

    @Test func gradientsOfParametersAreAddedAndOfActivationsOnRequest() {
        let one = Buffer<Double>([1])
        let dx = Buffer<Double>([10])
        let dw = Buffer<Double>([20])
        operations.linearBackward(
            rows: 1, inputs: 1, outputs: 1, x: Buffer([3]), w: Buffer([5]), dy: one,
            accumulating: true, dx: dx, dw: dw)
        expectEqual(dx, [15])
        expectEqual(dw, [23])
        operations.linearBackward(
            rows: 1, inputs: 1, outputs: 1, x: Buffer([3]), w: Buffer([5]), dy: one, dx: dx,
            dw: dw)
        expectEqual(dx, [5])
        expectEqual(dw, [26])
    }

    @Test func rmsNorm() {
        var numbers = TestNumbers(seed: 3)
        let (M, D) = (3, 6)
        let x = numbers.buffer(M * D)
        let w = numbers.buffer(D)
        let dy = numbers.buffer(M * D)
        let y = stale(M * D)
        let rstd = stale(M)
        let dx = stale(M * D)
        let dw = Buffer<Double>(count: D)
        operations.rmsNorm(rows: M, width: D, epsilon: 1e-6, x: x, w: w, y: y, rstd: rstd)
        operations.rmsNormBackward(
            rows: M, width: D, x: x, w: w, rstd: rstd.duplicate(), dy: dy, dx: dx, dw: dw)
        expectGradients(Checked("x", x, dx), Checked("w", w, dw)) {
            operations.rmsNorm(rows: M, width: D, epsilon: 1e-6, x: x, w: w, y: y, rstd: rstd)
            return dot(y, dy)
        }
    }

    @Test func rmsNormBackwardInPlace() {
        var numbers = TestNumbers(seed: 4)
        let x = numbers.buffer(8)
        let w = numbers.buffer(4)
        let dy = numbers.buffer(8)
        let y = stale(8)
        let rstd = stale(2)
        let dx = stale(8)
        operations.rmsNorm(rows: 2, width: 4, epsilon: 1e-6, x: x, w: w, y: y, rstd: rstd)
        operations.rmsNormBackward(
            rows: 2, width: 4, x: x, w: w, rstd: rstd, dy: dy, dx: dx, dw: Buffer(count: 4))
        operations.rmsNormBackward(
            rows: 2, width: 4, x: x, w: w, rstd: rstd, dy: dy, dx: dy, dw: Buffer(count: 4))
        expectEqual(dy, dx.array, tolerance: 0)
    }

    @Test(arguments: [false, true])
    func rope(isInterleaved: Bool) {
        var numbers = TestNumbers(seed: 5)
        let shape = RotaryShape(
            batch: 2, tokens: 3, heads: 2, width: 4, stride: 7, isInterleaved: isInterleaved)
        let cosine = numbers.buffer(6)
        let sine = numbers.buffer(6)
        let x = numbers.buffer(84)
        let dy = numbers.buffer(84)
        let dx = dy.duplicate()
        operations.ropeBackward(shape, cosine: cosine, sine: sine, dx: dx[2..<84])
        expectGradients(Checked("x", x, dx)) {
            let y = x.duplicate()
            operations.rope(shape, cosine: cosine, sine: sine, x: y[2..<84])
            return dot(y, dy)
        }
    }

    @Test func ropeTurnsHalvesOrPairs() {
        var shape = RotaryShape(batch: 1, tokens: 1, heads: 1, width: 4, stride: 5)
        let (cosine, sine) = (Buffer([0.0, 1]), Buffer([1.0, 0]))
        let x = Buffer<Double>([1, 2, 3, 4, 9])
        operations.rope(shape, cosine: cosine, sine: sine, x: x)
        expectEqual(x, [-3, 2, 1, 4, 9])
        shape.isInterleaved = true
        operations.rope(shape, cosine: cosine, sine: sine, x: x)
        expectEqual(x, [-2, -3, 1, 4, 9])
    }

    @Test func add() {
        let y = stale(2)
        operations.add(count: 2, a: Buffer([1, 2]), b: Buffer([10, 20]), y: y)
        expectEqual(y, [11, 22])
    }

    @Test func headLoss() {
        var numbers = TestNumbers(seed: 6)
        let (M, D, V) = (3, 2, 5)
        let targets = Buffer<Int32>([3, -1, 0])
        let (x, w) = (numbers.buffer(M * D, scale: 3), numbers.buffer(V * D))
        let (dx, dw) = (stale(M * D), Buffer<Double>(count: V * D))
        let kept = operations.headLossBackward(
            rows: M, width: D, vocabulary: V, x: x, w: w, targets: targets, factor: 0.25, dx: dx,
            dw: dw)
        func loss() -> CrossEntropy {
            operations.headLoss(rows: M, width: D, vocabulary: V, x: x, w: w, targets: targets)
        }
        #expect(loss() == kept)
        #expect(kept.count == 2 && countTargets(rows: M, targets: targets) == 2)
        expectGradients(Checked("x", x, dx), Checked("w", w, dw)) { 0.25 * loss().sum }
    }

    @Test func headLossOfCertainAndOfEqualLogits() {
        let loss = operations.headLoss(
            rows: 2, width: 1, vocabulary: 2, x: Buffer([1000, 0]), w: Buffer([1, -1]),
            targets: Buffer([0, 1]))
        #expect(abs(loss.sum - 0.693_147_180_559_945_3) < 1e-12)
    }

    @Test func bfloat16RoundsToNearestTiesToEven() {
        let values: [Float] = [1, 1.003_906_25, 1.011_718_75, -0.1, 3.4e38, .infinity, 0]
        let expected: [Float] = [1, 1, 1.015_625, -0.100_097_656_25, .infinity, .infinity, 0]
        let half = Buffer<BFloat16>(count: values.count)
        half.round(FloatBuffer(values))
        #expect(half.widened().array == expected)
        #expect(values.map { Float(BFloat16($0)) } == expected)
        half[0..<1].round(FloatBuffer([.nan]))
        #expect(Float(half[0]).isNaN && Float(BFloat16(.nan)).isNaN)
    }
}
