import LocalSGD
import Testing

@Suite("Worker's decisions")
struct WorkerStateTests {
    private func plan(_ round: Int, evaluation: Range<Int>? = nil, saves: Bool = false) -> RoundPlan
    {
        RoundPlan(
            round: round, kind: .local, baseVersion: UInt64(round), steps: 2, scheduleStep: 0,
            lease: Lease(runs: [0..<4]), evaluation: evaluation, savesState: saves)
    }

    @Test("A round goes: plan, measure, train, push, pull, report")
    func round() {
        var state = WorkerState()
        let plan = plan(3, evaluation: 0..<5, saves: true)
        #expect(state.next(.joined(version: 3), at: .zero) == .adopt(version: 3))
        #expect(state.next(.adopted(version: 3), at: .zero) == .ask(report: nil))
        #expect(state.next(.assigned(.wait), at: .zero) == .ask(report: nil))
        #expect(state.next(.assigned(.round(plan)), at: .zero) == .saveState(version: 3))
        #expect(
            state.next(.stateSaved, at: .zero) == .evaluate(version: 3, sequences: 0..<5))
        #expect(state.next(.evaluated, at: .zero) == .train(plan))
        #expect(state.next(.trained(tokens: 40, lossSum: 80), at: .zero) == .push(plan))
        #expect(
            state.next(.pushed([.accepted, .late(current: 4)]), at: .zero) == .adopt(version: 4))
        #expect(
            state.next(.adopted(version: 4), at: .zero)
                == .ask(
                    report: RoundReport(
                        round: 3, steps: 2, tokens: 40, lossSum: 80, accepted: 1, rejected: 1)))
    }

    @Test("A plan for a later version is preceded by a pull of it")
    func catchingUp() {
        var state = WorkerState()
        _ = state.next(.joined(version: 3), at: .zero)
        _ = state.next(.adopted(version: 3), at: .zero)
        #expect(state.next(.assigned(.round(plan(5))), at: .zero) == .adopt(version: 5))
        #expect(state.next(.adopted(version: 5), at: .zero) == .train(plan(5)))
    }

    @Test("A plan for a version that is gone is dropped and a new one asked for")
    func overtaken() {
        var state = WorkerState()
        _ = state.next(.joined(version: 3), at: .zero)
        _ = state.next(.adopted(version: 4), at: .zero)
        #expect(
            state.next(.assigned(.round(plan(3))), at: .zero) == .rest(WorkerState.restMin))
        #expect(state.next(.rested, at: .zero) == .ask(report: nil))
    }

    @Test("A failed action is repeated with growing rests, and given up after five")
    func failures() {
        var state = WorkerState()
        _ = state.next(.joined(version: 0), at: .zero)
        _ = state.next(.adopted(version: 0), at: .zero)
        _ = state.next(.assigned(.round(plan(0))), at: .zero)
        var rests: [Duration] = []
        var now = Duration.zero
        for _ in 0..<8 {
            if case .rest(let pause) = state.next(.failed(reason: "x"), at: now) {
                rests.append(pause)
                now += pause
            }
            #expect(state.next(.rested, at: now) == .train(plan(0)))
        }
        #expect(rests.first == WorkerState.restMin)
        #expect(rests.last == WorkerState.restMax)
        #expect(
            state.next(.failed(reason: "x"), at: now + .seconds(301))
                == .giveUp(reason: "the cluster can't be reached: x"))
    }

    @Test("A success in between renews its patience")
    func patience() {
        var state = WorkerState()
        _ = state.next(.failed(reason: "x"), at: .zero)
        _ = state.next(.rested, at: .seconds(30))
        _ = state.next(.joined(version: 0), at: .seconds(299))
        #expect(state.next(.failed(reason: "x"), at: .seconds(301)) == .rest(WorkerState.restMin))
    }

    @Test("Told to go while it can't reach anyone, it goes at once")
    func leavingInVain() {
        var state = WorkerState()
        state.drain(reason: "enough")
        #expect(state.next(.failed(reason: "x"), at: .zero) == .leave(reason: "enough"))
        var resting = WorkerState()
        _ = resting.next(.notYet, at: .zero)
        resting.drain(reason: "enough")
        #expect(resting.next(.rested, at: .zero) == .leave(reason: "enough"))
    }

    @Test("Told to rejoin, it joins; told to leave, it leaves; drained, it leaves after its round")
    func leaving() {
        var state = WorkerState()
        _ = state.next(.joined(version: 0), at: .zero)
        _ = state.next(.adopted(version: 0), at: .zero)
        _ = state.next(.assigned(.rejoin), at: .zero)
        #expect(state.next(.rested, at: .zero) == .join)
        _ = state.next(.joined(version: 0), at: .zero)
        _ = state.next(.adopted(version: 0), at: .zero)
        _ = state.next(.assigned(.round(plan(0))), at: .zero)
        state.drain(reason: "enough")
        _ = state.next(.trained(tokens: 1, lossSum: 1), at: .zero)
        _ = state.next(.pushed([]), at: .zero)
        _ = state.next(.adopted(version: 1), at: .zero)
        #expect(state.next(.assigned(.wait), at: .zero) == .leave(reason: "enough"))
    }
}
