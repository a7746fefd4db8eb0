import Tensors
import Testing

@Suite struct ExpertOperationsTests {
    private let operations = Operations<Double>.reference

    @Test(arguments: [(true, 1, 1.0), (false, 1, 1), (true, 3, 2.5), (false, 3, 2.5)])
    func router(isRenormalizing: Bool, groups: Int, scale: Double) {
        var numbers = TestNumbers(seed: 10)
        let (M, E, K) = (4, 6, 2)
        var shape = RouterShape(
            rows: M, experts: E, choices: K, isRenormalizing: isRenormalizing)
        (shape.groups, shape.scale) = (groups, scale)
        let logits = numbers.buffer(M * E, scale: 2)
        let dweights = numbers.buffer(M * K)
        let dprobability = numbers.buffer(E)
        let probabilities = stale(M * E)
        let weights = stale(M * K)
        let chosen = Buffer<Int32>(count: M * K)
        let counts = Buffer<Int32>(count: E)
        let sums = stale(E)
        func forward() -> Double {
            operations.router(
                shape, logits: logits, probabilities: probabilities, chosen: chosen,
                weights: weights, counts: counts, probabilitySums: sums)
            return dot(weights, dweights) + dot(sums, dprobability)
        }
        _ = forward()
        #expect(counts.array.reduce(0, +) == Int32(M * K))
        let dlogits = stale(M * E)
        operations.routerBackward(
            shape, probabilities: probabilities.duplicate(), chosen: chosen,
            weights: weights.duplicate(), dweights: dweights, dprobability: dprobability,
            dlogits: dlogits)
        expectGradients(Checked("logits", logits, dlogits), loss: forward)
    }

    @Test func theRouterTakesTheMostProbableAndOfEqualsTheLowest() {
        let chosen = Buffer<Int32>(count: 4)
        let weights = stale(4)
        operations.router(
            RouterShape(rows: 2, experts: 3, choices: 2, isRenormalizing: true),
            logits: Buffer([1, 1, 1, 0, 5, 5]), probabilities: stale(6), chosen: chosen,
            weights: weights, counts: Buffer(count: 3), probabilitySums: stale(3))
        #expect(chosen.array == [0, 1, 1, 2])
        expectEqual(weights, [0.5, 0.5, 0.5, 0.5])
    }

    /// The second most probable expert is in a group that is not among the best.
    @Test func theRouterStaysInTheBestGroups() {
        let chosen = Buffer<Int32>(count: 3)
        let weights = stale(3)
        let probabilities = stale(6)
        var shape = RouterShape(rows: 1, experts: 6, choices: 3, isRenormalizing: false)
        (shape.groups, shape.groupsChosen, shape.scale) = (3, 2, 4)
        operations.router(
            shape, logits: Buffer([0, 4, 1, 2, 3, 3.5]), probabilities: probabilities,
            chosen: chosen, weights: weights, counts: Buffer(count: 6), probabilitySums: stale(6))
        #expect(chosen.array == [1, 5, 4])
        expectEqual(weights, [1, 5, 4].map { 4 * probabilities[$0] })
    }

    @Test func loadBalancing() {
        var numbers = TestNumbers(seed: 11)
        let counts = Buffer<Int32>([3, 1, 0, 2, 2, 0])
        let sums = numbers.buffer(6)
        let dprobability = stale(3)
        func loss() -> Double {
            loadBalancingLoss(
                layers: 2, rows: 2, experts: 3, counts: counts, probabilitySums: sums, factor: 0.1,
                dprobability: dprobability)
        }
        _ = loss()
        let gradients = Buffer((dprobability.array + dprobability.array).map { $0 / 0.1 })
        expectGradients(Checked("sums", sums, gradients), loss: loss)
        // Even use of all experts, each of 2 choices: K.
        let even = loadBalancingLoss(
            layers: 1, rows: 3, experts: 3, counts: Buffer([2, 2, 2]),
            probabilitySums: Buffer([1, 1, 1]), factor: 1, dprobability: dprobability)
        #expect(abs(even - 2) < 1e-12)
    }

    /// Slots of 3 tokens with 2 choices among 4 experts; one is skipped, two experts get nothing.
    private let chosen = Buffer<Int32>([2, 0, 2, -1, 0, 2])

    @Test func dispatchGroupsByExpertInSlotOrder() {
        let dispatch = Dispatch(tokens: 3, choices: 2, experts: 4)
        dispatch.group(tokens: 3, choices: 2, experts: chosen)
        #expect(dispatch.offsets.array == [0, 2, 2, 5, 5])
        #expect(dispatch.rowOfSlot.array == [2, 0, 3, -1, 1, 4])
        #expect(dispatch.slotOfRow.array.prefix(5) == [1, 4, 0, 2, 5])
        #expect(dispatch.rows == 5)
    }

    /// Three tokens with two choices among three experts, of which one gets no rows; one slot is
    /// skipped.
    @Test(arguments: [false, true]) func experts(isAccumulating: Bool) {
        var numbers = TestNumbers(seed: 14)
        let (M, K, D, F, R) = (3, 2, 3, 4, 5)
        // Their places overlap with nothing else's.
        let places = ExpertPlaces(
            width: D, hidden: F, gate: [1, 40, 80], up: [13, 52, 92], down: [25, 64, 104])
        let dispatch = Dispatch(tokens: M, choices: K, experts: 3)
        dispatch.group(tokens: M, choices: K, experts: Buffer([2, 0, 2, -1, 0, 2]))
        let parameters = numbers.buffer(120)
        let (x, weights) = (numbers.buffer(M * D), numbers.buffer(M * K))
        let (dout, before) = (numbers.buffer(M * D), numbers.buffer(M * D))
        let buffers = ExpertBuffers(
            gate: stale(R * F), up: stale(R * F), hidden: stale(R * F), rows: stale(R * D))
        func forward() -> Double {
            let out = isAccumulating ? before.duplicate() : stale(M * D)
            operations.experts(
                places, .dispatched(dispatch, choices: K), tokens: M, parameters: parameters,
                x: x, weights: weights, buffers: buffers, accumulating: isAccumulating, out: out)
            return dot(out, dout)
        }
        _ = forward()
        let dx = isAccumulating ? before.duplicate() : stale(M * D)
        let (dweights, dparameters) = (stale(M * K), Buffer<Double>(count: 120))
        for place in [1, 40, 80] { dparameters[place..<place + 3 * D * F].fill(.nan) }
        operations.expertsBackward(
            places, .dispatched(dispatch, choices: K), tokens: M, parameters: parameters, x: x,
            weights: weights, buffers: buffers, dout: dout, accumulating: isAccumulating, dx: dx,
            dweights: dweights, dparameters: dparameters)
        #expect(dweights[3] == 0, "a skipped slot")
        #expect(dparameters[40..<76].array.allSatisfy { $0 == 0 }, "an expert without rows")
        #expect(dparameters[1..<37].array.contains { $0 != 0 })
        if isAccumulating { for index in 0..<dx.count { dx[index] -= before[index] } }
        expectGradients(
            Checked("x", x, dx), Checked("weights", weights, dweights),
            Checked("parameters", parameters, dparameters), loss: forward)
    }

    @Test func anMLPThatEveryTokenUses() {
        var numbers = TestNumbers(seed: 15)
        let (M, D, F) = (3, 2, 4)
        let places = ExpertPlaces(width: D, hidden: F, gate: [0], up: [8], down: [16])
        let routing = Routing.everyToken(offsets: Buffer([0, 3]))
        let (parameters, x) = (numbers.buffer(24), numbers.buffer(M * D))
        let dout = numbers.buffer(M * D)
        let buffers = ExpertBuffers(
            gate: stale(M * F), up: stale(M * F), hidden: stale(M * F), rows: stale(0))
        func forward() -> Double {
            let out = stale(M * D)
            operations.experts(
                places, routing, tokens: M, parameters: parameters, x: x, weights: nil,
                buffers: buffers, out: out)
            return dot(out, dout)
        }
        _ = forward()
        let (dx, dparameters) = (stale(M * D), stale(24))
        operations.expertsBackward(
            places, routing, tokens: M, parameters: parameters, x: x, weights: nil,
            buffers: buffers, dout: dout, dx: dx, dweights: nil, dparameters: dparameters)
        expectGradients(
            Checked("x", x, dx), Checked("parameters", parameters, dparameters), loss: forward)
    }

    @Test func sharedExpert() {
        var numbers = TestNumbers(seed: 16)
        let (M, D) = (3, 4)
        let (x, w, shared) = (numbers.buffer(M * D), numbers.buffer(D), numbers.buffer(M * D))
        let dout = numbers.buffer(M * D)
        let sigmoid = stale(M)
        let base = numbers.buffer(M * D)
        func forward() -> Double {
            let out = base.duplicate()
            operations.sharedExpert(
                rows: M, width: D, x: x, w: w, shared: shared, sigmoid: sigmoid, out: out)
            return dot(out, dout)
        }
        _ = forward()
        let (dx, dw, dshared) = (stale(M * D), Buffer<Double>(count: D), stale(M * D))
        operations.sharedExpertBackward(
            rows: M, width: D, x: x, w: w, shared: shared, sigmoid: sigmoid.duplicate(),
            dout: dout, dx: dx, dw: dw, dshared: dshared)
        expectGradients(
            Checked("x", x, dx), Checked("w", w, dw), Checked("shared", shared, dshared),
            loss: forward)
    }
}
