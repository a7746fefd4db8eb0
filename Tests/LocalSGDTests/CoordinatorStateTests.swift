import LocalSGD
import Testing

@Suite("Coordinator's decisions")
struct CoordinatorStateTests {
    @Test("Modules are placed once all shard servers are here")
    func seeding() {
        var driver = CoordinatorDriver(shards: 2)
        driver.step(.shardJoined(name: "s1"))
        #expect(driver.state.phase == .gathering)
        driver.step(.shardJoined(name: "s1"))
        #expect(driver.state.phase == .gathering)
        driver.step(.shardJoined(name: "s0"))
        #expect(driver.effects.contains(.seed(ShardMap(placing: [10, 20], on: ["s0", "s1"]))))
        driver.step(.seeded)
        #expect(driver.state.phase == .idle)
    }

    @Test("The first round waits for the workers asked for; later rounds do not")
    func minimumWorkers() {
        var driver = CoordinatorDriver(minimumWorkers: 2)
        driver.start()
        driver.add("a")
        #expect(driver.state.phase == .idle)
        driver.add("b")
        driver.open()
        #expect(driver.state.openRound?.members.map(\.worker) == ["a", "b"])
        driver.step(.lost(name: "b"))
        #expect(driver.effects.contains(.remove(worker: "b", incarnation: 1, round: 0)))
        driver.close(["a"])
        #expect(driver.state.openRound?.members.map(\.worker) == ["a"])
    }

    @Test("A resumed run too waits for the workers asked for before its first round")
    func minimumWorkersAfterResume() {
        var driver = CoordinatorDriver(minimumWorkers: 2, version: 2)
        driver.start()
        driver.add("a", isComplete: true)
        #expect(driver.state.phase == .idle)
        driver.add("b", isComplete: true)
        #expect(driver.state.openRound?.members.map(\.worker) == ["a", "b"])
    }

    @Test("Warm-up rounds have one step, later ones the sync interval; the schedule counts both")
    func plans() {
        var driver = CoordinatorDriver(rounds: 4, warmup: 2)
        driver.start()
        driver.add("a")
        var seen: [[Int]] = []
        for _ in 0..<4 {
            driver.open()
            if let plan = driver.plan("a") {
                seen.append([plan.kind == .warmup ? 1 : 0, plan.steps, plan.scheduleStep])
                #expect(plan.lease.count == plan.steps * 2)
            }
            driver.close(["a"])
        }
        #expect(seen == [[1, 1, 0], [1, 1, 1], [0, 3, 2], [0, 3, 5]])
    }

    @Test("The time left is told by rounds of the kind that is left")
    func timeLeft() {
        var driver = CoordinatorDriver(rounds: 6, warmup: 2)
        driver.start()
        driver.add("a")
        for round in 0..<4 {
            driver.open()
            driver.now += round < 2 ? .seconds(100) : .seconds(3)
            #expect((driver.state.secondsLeft == nil) == (round < 3))
            driver.close(["a"])
        }
        // Two rounds of 3 s, and a little for the driver's own steps.
        #expect(abs((driver.state.secondsLeft ?? 0) - 6) < 0.1)
    }

    @Test("No plan before the shard servers know of the round, and none twice")
    func assignments() {
        var driver = CoordinatorDriver()
        driver.start()
        driver.add("a")
        #expect(driver.state.assignment(for: "a", incarnation: 1, at: .zero) == .wait)
        driver.open()
        #expect(driver.plan("a")?.round == 0)
        driver.step(
            .asked(
                name: "a", incarnation: 1,
                report: RoundReport(
                    round: 0, steps: 3, tokens: 60, lossSum: 120, accepted: 2, rejected: 0)))
        #expect(driver.state.assignment(for: "a", incarnation: 1, at: .zero) == .wait)
        #expect(driver.state.assignment(for: "a", incarnation: 2, at: .zero) == .rejoin)
        #expect(driver.state.assignment(for: "x", incarnation: 1, at: .zero) == .rejoin)
        driver.close(["a"])
        #expect(driver.state.history.points.last?.trainLoss == 2)
    }

    @Test("A newcomer observes one round and counts from its second")
    func newcomer() {
        var driver = CoordinatorDriver()
        driver.start()
        driver.add("a")
        driver.open()
        driver.add("b")
        driver.close(["a"])
        driver.open()
        #expect(driver.state.openRound?.members.map(\.isObserving) == [false, true])
        driver.close(["a", "b"])
        #expect(driver.state.openRound?.members.map(\.isObserving) == [false, false])
        #expect(driver.state.history.lostTokens == 60)
    }

    /// The order at the time may reach a shard server before the opening does.
    @Test(
        "Who goes and comes back while a round is opening is not waited for in it",
        arguments: [1, 2] as [UInt64], [RunMode.edit, .aEdit, .asynchronous])
    func backWhileOpening(incarnation: UInt64, mode: RunMode) {
        var driver = CoordinatorDriver(minimumWorkers: 2, mode: mode)
        driver.start()
        driver.add("a")
        driver.add("b")
        driver.step(.lost(name: "b"))
        #expect(driver.effects.contains(.remove(worker: "b", incarnation: 1, round: 0)))
        driver.step(.workerJoined(name: "b", incarnation: incarnation, isComplete: false))
        driver.step(.asked(name: "b", incarnation: incarnation, report: nil))
        driver.open()
        #expect(driver.effects.contains(.remove(worker: "b", incarnation: 1, round: 0)))
        #expect(!driver.effects.contains(.remove(worker: "a", incarnation: 1, round: 0)))
    }

    @Test("Who asks late in a round by time has what is left of it, and a moment at least")
    func lateAsker() {
        var driver = CoordinatorDriver(mode: .aEdit)
        driver.start()
        driver.add("a")
        driver.open()
        #expect(driver.plan("a")?.syncTime == .seconds(60))
        driver.now += .seconds(25)
        #expect(driver.plan("a")?.syncTime == .seconds(35))
        driver.now += .seconds(100)
        #expect(driver.plan("a")?.syncTime == .milliseconds(1))
    }

    @Test("What a lost worker had on lease is trained on by others")
    func leases() {
        var driver = CoordinatorDriver()
        driver.start()
        driver.add("a")
        driver.open()
        let first = driver.plan("a")?.lease
        driver.step(.lost(name: "a"))
        driver.close([])
        driver.step(.workerJoined(name: "b", incarnation: 1, isComplete: false))
        driver.step(.asked(name: "b", incarnation: 1, report: nil))
        driver.open()
        #expect(driver.plan("b")?.lease == first)
    }

    @Test("A drained worker finishes its round and leaves; nobody waits for it afterwards")
    func draining() {
        var driver = CoordinatorDriver()
        driver.start()
        driver.add("a")
        driver.open()
        driver.add("b")
        driver.step(.drain(worker: "a"))
        #expect(driver.plan("a") != nil)
        driver.close(["a"])
        #expect(
            driver.state.assignment(for: "a", incarnation: 1, at: .zero)
                == .leave(reason: "drained"))
        #expect(driver.state.openRound?.members.map(\.worker) == ["b"])
    }

    @Test("Held-out sequences are split among workers and put together again")
    func evaluation() {
        var driver = CoordinatorDriver(minimumWorkers: 2, heldOut: 5)
        driver.start()
        driver.add("a")
        driver.add("b")
        driver.open()
        #expect(driver.plan("a")?.evaluation == 0..<2)
        #expect(driver.plan("b")?.evaluation == 2..<5)
        func report(_ part: Range<Int>, _ sum: Double) -> EvaluationReport {
            EvaluationReport(version: 0, sequences: part, lossSum: sum, tokens: part.count * 10)
        }
        driver.step(.evaluated(name: "a", report(0..<2, 40)))
        #expect(driver.state.history.latestHeldOut == nil)
        driver.step(.evaluated(name: "b", report(2..<5, 60)))
        #expect(driver.state.history.latestHeldOut?.loss == 2)
        driver.close(["a", "b"])
        #expect(driver.state.history.points.map(\.heldOutLoss) == [2])
    }

    @Test("At the end the last version is measured, kept, and everyone sent home")
    func ending() {
        var driver = CoordinatorDriver(rounds: 1, heldOut: 4)
        driver.start()
        driver.add("a")
        driver.open()
        driver.close(["a"])
        #expect(driver.state.phase == .concluding)
        #expect(
            driver.state.assignment(for: "a", incarnation: 1, at: .zero)
                == .evaluate(version: 1, sequences: 0..<4, savesState: true))
        driver.step(
            .evaluated(
                name: "a",
                EvaluationReport(version: 1, sequences: 0..<4, lossSum: 40, tokens: 40)))
        #expect(driver.effects.contains(.keep(version: 1)))
        #expect(driver.state.history.latestHeldOut?.loss == 1)
        driver.step(.kept(version: 1, path: "somewhere"))
        #expect(driver.state.phase == .finished)
        #expect(
            driver.state.assignment(for: "a", incarnation: 1, at: .zero)
                == .leave(reason: "the run is finished"))
    }

    @Test("A worker lost while the last version is measured does not hold up the end")
    func lostWhileConcluding() {
        var driver = CoordinatorDriver(rounds: 1, heldOut: 4)
        driver.start()
        driver.add("a")
        driver.open()
        driver.close(["a"])
        driver.step(.lost(name: "a"))
        #expect(driver.effects.contains(.keep(version: 1)))
    }

    @Test("Stop ends after the open round; before any round it ends at once")
    func stopping() {
        var driver = CoordinatorDriver()
        driver.start()
        driver.add("a")
        driver.open()
        driver.step(.stop)
        #expect(driver.plan("a") != nil)
        driver.close(["a"])
        #expect(driver.effects.contains(.keep(version: 1)))
        var early = CoordinatorDriver()
        early.start()
        early.step(.stop)
        #expect(early.effects.contains(.keep(version: 0)))
        early.step(.kept(version: 0, path: "x"))
        #expect(early.state.phase == .finished)
    }

    @Test("A lost shard server fails the run and everyone is told why")
    func shardLost() {
        var driver = CoordinatorDriver()
        driver.start()
        driver.add("a")
        driver.open()
        driver.step(.shardLost(name: "s0"))
        guard case .failed(let reason) = driver.state.phase else {
            Issue.record("the run goes on without its parameters")
            return
        }
        #expect(
            driver.state.assignment(for: "a", incarnation: 1, at: .zero) == .leave(reason: reason))
    }

    @Test(
        "A worker that comes back is a new member and the open round does not wait for its old life"
    )
    func comingBack() {
        var driver = CoordinatorDriver()
        driver.start()
        driver.add("a")
        driver.open()
        driver.step(.workerJoined(name: "a", incarnation: 2, isComplete: false))
        #expect(driver.effects.contains(.remove(worker: "a", incarnation: 1, round: 0)))
        driver.step(.asked(name: "a", incarnation: 2, report: nil))
        driver.close([])
        driver.open()
        #expect(driver.state.openRound?.members.map(\.incarnation) == [2])
    }
}
