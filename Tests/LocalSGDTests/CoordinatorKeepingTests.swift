import LocalSGD
import Testing

/// What the coordinator keeps, and when it gives the order.
@Suite("Coordinator's checkpoints")
struct CoordinatorKeepingTests {
    @Test("A checkpoint is taken of the version at a round's opening, with the ledger of that time")
    func checkpoints() {
        var driver = CoordinatorDriver(rounds: 6, checkpointEvery: 2)
        driver.start()
        driver.add("a")
        driver.open()
        driver.close(["a"])
        driver.open()
        driver.close(["a"])
        #expect(driver.state.openRound?.retainsBase == true)
        driver.open()
        #expect(driver.effects.contains(.keep(version: 2)))
        let snapshot = driver.state.keeping
        #expect(snapshot?.ledger.next == 12)
        #expect(snapshot?.ledger.open.isEmpty == true)
        driver.close(["a"])
        #expect(driver.state.keeping == snapshot)
        #expect(driver.state.openRound?.retainsBase == false)
        driver.step(.kept(version: 2, path: "x"))
        #expect(driver.state.latestCheckpoint?.version == 2)
    }

    /// One that keeps version 1, which two workers have made, with those in round 1 that do not
    /// leave.
    private func keepingFirst(
        rounds: Int = 6, masks: MaskSettings.Training = .all, leaving: String? = nil
    ) -> CoordinatorDriver {
        var driver = CoordinatorDriver(
            rounds: rounds, minimumWorkers: 2, checkpointEvery: 1, masks: masks)
        driver.start()
        driver.add("a")
        driver.add("b")
        driver.open()
        if let leaving { driver.step(.drain(worker: leaving)) }
        driver.close(["a", "b"])
        return driver
    }

    private let order = CoordinatorState.Effect.keep(version: 1)

    @Test("Where masks are learnt, a checkpoint waits for what workers tell of the round before")
    func waits() {
        var driver = keepingFirst()
        driver.open()
        #expect(!driver.effects.contains(order))
        driver.tell("a", round: 0, live: 8)
        driver.step(.tick)
        #expect(!driver.effects.contains(order))
        driver.tell("b", round: 0, live: 4)
        #expect(driver.effects.contains(order))
        #expect(driver.state.keeping?.history.masksAhead?.round == 0)
        #expect(driver.state.keeping?.history.masksAhead?.layers.map(\.active) == [1.5])
        // Once is enough.
        driver.step(.tick)
        #expect(!driver.effects.contains(order))
        // The run itself heeds it when the round has closed.
        #expect(driver.state.history.masks == nil)
        driver.close(["a", "b"])
        #expect(driver.state.history.masks?.map(\.active) == [1.5])
    }

    @Test("A report from before the opening is part of it, and without masks nothing is waited for")
    func doesNotWait() {
        var early = keepingFirst()
        early.tell("a", round: 0, live: 8)
        early.tell("b", round: 0, live: 8)
        // Not before the shard servers hold on to the version.
        #expect(!early.effects.contains(order))
        early.open()
        #expect(early.effects.contains(order))
        #expect(early.state.keeping?.history.masksAhead?.layers.map(\.active) == [2])

        var plain = keepingFirst(masks: .off)
        plain.open()
        #expect(plain.effects.contains(order))
        #expect(plain.state.keeping?.history.masksAhead == nil)
    }

    @Test("Who is lost, comes anew or joins is not waited for")
    func absent() {
        var lost = keepingFirst()
        lost.open()
        lost.tell("a", round: 0, live: 8)
        lost.step(.lost(name: "b"))
        lost.step(.tick)
        #expect(lost.effects.contains(order))

        var anew = keepingFirst()
        anew.add("c")
        anew.open()
        anew.tell("a", round: 0, live: 8)
        anew.step(.workerJoined(name: "b", incarnation: 2, isComplete: false))
        anew.step(.tick)
        #expect(anew.effects.contains(order))
    }

    @Test("What comes after the order is not heeded, since the checkpoint does not know of it")
    func afterwards() {
        var driver = keepingFirst(leaving: "b")
        driver.open()
        driver.tell("a", round: 0, live: 8)
        #expect(driver.effects.contains(order))
        driver.tell("b", round: 0, live: 4)
        driver.close(["a"])
        #expect(driver.state.history.masks?.map(\.active) == [2])
        #expect(driver.state.keeping?.history.masksAhead?.layers.map(\.active) == [2])
    }

    @Test("Without rounds a checkpoint is ordered at once, also while somebody joins")
    func withoutRounds() {
        var driver = CoordinatorDriver(
            rounds: 6, checkpointEvery: 1, mode: .asynchronous, masks: .all)
        driver.start()
        driver.add("a")
        driver.open()
        driver.add("b")
        #expect(driver.state.openRound?.members.count == 2)
        for plan in 0..<2 {
            #expect(!driver.effects.contains(order))
            driver.tell("a", round: plan, live: 8)
        }
        #expect(driver.effects.contains(order))
        guard case .opening = driver.state.phase else {
            Issue.record("shard servers know of it already")
            return
        }
    }

    @Test("A checkpoint does not wait longer than reports are heeded")
    func late() {
        var driver = keepingFirst()
        driver.open()
        driver.tell("a", round: 0, live: 8)
        driver.close(["a"])
        #expect(driver.effects.contains(order))
        #expect(driver.state.keeping?.history.masksAhead?.layers.map(\.active) == [2])
        #expect(driver.state.history.masks?.map(\.active) == [2])
    }

    @Test("The last checkpoint waits a minute for a worker that is here and says nothing")
    func patience() {
        var driver = keepingFirst(rounds: 1)
        #expect(driver.state.phase == .keeping)
        driver.tell("a", round: 0, live: 8)
        driver.now += .seconds(59)
        driver.step(.tick)
        #expect(!driver.effects.contains(order))
        driver.now += .seconds(2)
        driver.step(.tick)
        #expect(driver.effects.contains(order))
        driver.step(.kept(version: 1, path: "x"))
        #expect(driver.state.phase == .finished)

        // One that asks and tells nothing has nothing to tell.
        var silent = keepingFirst(rounds: 1)
        silent.tell("a", round: 0, live: 8)
        #expect(!silent.effects.contains(order))
        silent.step(.asked(name: "b", incarnation: 1, report: nil))
        #expect(silent.effects.contains(order))
    }
}
