import LocalSGD
import Testing

@Suite("Shard server's decisions")
struct ShardStateTests {
    private static func opening(
        _ round: Int, _ workers: [String], kind: RoundKind = .local
    ) -> RoundOpening {
        RoundOpening(
            round: round, kind: kind,
            members: workers.map {
                RoundMember(worker: $0, incarnation: 1, isObserving: false)
            }, scheduleStep: 0, retainsBase: false)
    }

    private static func push(
        _ worker: String, round: Int, module: Int = 0, tokens: Int = 100, incarnation: UInt64 = 1,
        base: UInt64? = nil, flaw: String? = nil, steps: Int = 1
    ) -> ShardState.Event {
        .pushed(
            Contribution(
                key: PushKey(
                    worker: worker, incarnation: incarnation, module: module,
                    sequence: UInt64(round)),
                round: round, kind: .local, baseVersion: base ?? UInt64(round), steps: steps,
                tokens: tokens, norm: 1, codec: "raw"), flaw: flaw)
    }

    /// A server with `modules` modules at version 0, and round 0 open for `workers`.
    private static func server(
        _ workers: [String], modules: Int = 1, settings: RoundSettings = RoundSettings()
    ) -> ShardState {
        var state = ShardState(settings)
        for module in 0..<modules {
            _ = state.step(.installed(module: module, version: 0), at: .zero)
        }
        _ = state.step(.opened(opening(0, workers)), at: .zero)
        return state
    }

    private static func answers(_ effects: [ShardState.Effect]) -> [PushOutcome] {
        effects.compactMap { if case .answer(let outcome, _) = $0 { outcome } else { nil } }
    }

    /// Whether answers were found then.
    private static func areNew(_ effects: [ShardState.Effect]) -> [Bool] {
        effects.compactMap { if case .answer(_, let isNew) = $0 { isNew } else { nil } }
    }

    @Test("What comes again under a key has the first one's answer, whatever comes with it")
    func repeated() throws {
        var state = Self.server(["a", "b"])
        guard case .pushed(let first, _) = Self.push("a", round: 0) else { return }
        #expect(!state.hasAnswered(first.key))
        #expect(Self.areNew(state.step(Self.push("a", round: 0), at: .zero)) == [true])
        #expect(state.hasAnswered(first.key))
        // With other tokens, another base, bytes that are none: nobody looks at them.
        let others = [
            Self.push("a", round: 0, tokens: 1 << 40), Self.push("a", round: 0, base: 7),
            Self.push("a", round: 0, flaw: "not finite"),
        ]
        for other in others {
            let effects = state.step(other, at: .zero)
            #expect(Self.answers(effects) == [.accepted])
            #expect(Self.areNew(effects) == [false])
        }
        let effects = state.step(Self.push("b", round: 0), at: .zero)
        #expect(Self.merges(effects)[0].weights.map(\.weight) == [0.5, 0.5])
        // Nor does a refusal become an acceptance.
        _ = state.step(.opened(Self.opening(1, ["a", "b"])), at: .zero)
        let bad = state.step(Self.push("a", round: 1, flaw: "not finite"), at: .zero)
        #expect(Self.areNew(bad) == [true])
        let good = state.step(Self.push("a", round: 1), at: .zero)
        #expect(Self.answers(good) == [.refused("not finite")] && Self.areNew(good) == [false])
    }

    private static func merges(_ effects: [ShardState.Effect]) -> [ShardState.MergePlan] {
        effects.compactMap { if case .merge(let plan) = $0 { plan } else { nil } }
    }

    @Test("A round closes when all members have pushed, in ascending order of names")
    func closes() {
        var state = Self.server(["a", "b"])
        #expect(Self.merges(state.step(Self.push("b", round: 0, tokens: 300), at: .zero)).isEmpty)
        let effects = state.step(Self.push("a", round: 0, tokens: 100), at: .zero)
        let plan = Self.merges(effects)[0]
        #expect(plan.weights.map(\.key.worker) == ["a", "b"])
        #expect(plan.weights.map(\.weight) == [0.25, 0.75])
        #expect(
            effects.contains(
                .report(
                    RoundClosing(
                        round: 0, applied: ["a": 1, "b": 1], steps: ["a": 1, "b": 1]))))
        #expect(state.version(of: 0) == 1)
    }

    @Test("EDiT's step weight is taken from the steps in the headers of the round")
    func stepWeight() {
        var settings = RoundSettings()
        settings.weighting = .edit
        settings.stepWeight = 1
        var state = Self.server(["a", "b"], settings: settings)
        _ = state.step(Self.push("a", round: 0, steps: 3), at: .zero)
        let plan = Self.merges(state.step(Self.push("b", round: 0, steps: 1), at: .zero))[0]
        #expect(plan.weights.map(\.weight) == [0.75, 0.25])
    }

    @Test("A repeated push gets the same answer and counts once")
    func duplicates() {
        var state = Self.server(["a", "b"])
        #expect(Self.answers(state.step(Self.push("a", round: 0), at: .zero)) == [.accepted])
        #expect(Self.answers(state.step(Self.push("a", round: 0), at: .zero)) == [.accepted])
        let plan = Self.merges(state.step(Self.push("b", round: 0), at: .zero))[0]
        #expect(plan.weights.count == 2)
        // Even after the round has closed the stored verdict is repeated.
        #expect(Self.answers(state.step(Self.push("a", round: 0), at: .zero)) == [.accepted])
        #expect(state.version(of: 0) == 1)
    }

    @Test("A removed member is not waited for; what it pushed counts")
    func removal() {
        var state = Self.server(["a", "b"], modules: 2)
        _ = state.step(Self.push("a", round: 0, module: 0), at: .zero)
        _ = state.step(Self.push("a", round: 0, module: 1), at: .zero)
        _ = state.step(Self.push("b", round: 0, module: 0), at: .zero)
        let effects = state.step(.removed(worker: "b", incarnation: 1, round: 0), at: .zero)
        #expect(Self.merges(effects).map(\.module) == [1])
        #expect(
            effects.contains(
                .report(
                    RoundClosing(
                        round: 0, applied: ["a": 2, "b": 1], steps: ["a": 1, "b": 1]))))
    }

    @Test("The removal of another incarnation changes nothing")
    func removalOfAnotherLife() {
        var state = Self.server(["a"])
        #expect(state.step(.removed(worker: "a", incarnation: 2, round: 0), at: .zero).isEmpty)
        #expect(state.version(of: 0) == 0)
    }

    @Test("The removal from an earlier round, or one not open yet, changes nothing")
    func removalOfAnotherRound() {
        var state = Self.server(["a", "b"])
        let ahead = state.step(.removed(worker: "b", incarnation: 1, round: 1), at: .zero)
        #expect(ahead.isEmpty)
        _ = state.step(Self.push("a", round: 0), at: .zero)
        _ = state.step(Self.push("b", round: 0), at: .zero)
        #expect(state.version(of: 0) == 1)
        // Lost and back in time for the next round, before the order of the last one got here.
        _ = state.step(.opened(Self.opening(1, ["a", "b"])), at: .zero)
        _ = state.step(.removed(worker: "b", incarnation: 1, round: 0), at: .zero)
        #expect(Self.merges(state.step(Self.push("a", round: 1), at: .zero)).isEmpty)
        #expect(Self.merges(state.step(Self.push("b", round: 1), at: .zero)).count == 1)
    }

    @Test("A round that everyone has left closes without a change")
    func rollback() {
        var state = Self.server(["a"])
        let effects = state.step(.removed(worker: "a", incarnation: 1, round: 0), at: .zero)
        #expect(Self.merges(effects).map(\.weights.count) == [0])
        #expect(state.version(of: 0) == 1)
    }

    @Test("After the deadline a quorum is enough; before it, or below it, it is not")
    func deadline() {
        var settings = RoundSettings()
        settings.deadlineSeconds = 10
        settings.quorum = 0.5
        var state = Self.server(["a", "b", "c"], settings: settings)
        _ = state.step(Self.push("a", round: 0), at: .seconds(1))
        #expect(state.step(.tick, at: .seconds(11)).isEmpty)
        #expect(Self.merges(state.step(Self.push("b", round: 0), at: .seconds(11))).count == 1)
        let late = Self.answers(state.step(Self.push("c", round: 0), at: .seconds(12)))
        #expect(late == [.late(current: 1)])
    }

    @Test("A push before its round is open is to be sent again, and then counts")
    func early() {
        var state = Self.server(["a"])
        #expect(Self.answers(state.step(Self.push("a", round: 1), at: .zero)) == [.early])
        _ = state.step(Self.push("a", round: 0), at: .zero)
        _ = state.step(.opened(Self.opening(1, ["a"])), at: .zero)
        #expect(Self.answers(state.step(Self.push("a", round: 1), at: .zero)) == [.accepted])
        #expect(state.version(of: 0) == 2)
    }

    @Test("Strangers, other incarnations, stale bases and wrong kinds do not count")
    func notAdmitted() {
        var state = Self.server(["a", "b"])
        #expect(Self.answers(state.step(Self.push("x", round: 0), at: .zero)) == [.notMember])
        let other = state.step(Self.push("a", round: 0, incarnation: 9), at: .zero)
        #expect(Self.answers(other) == [.notMember])
        _ = state.step(Self.push("a", round: 0), at: .zero)
        _ = state.step(Self.push("b", round: 0), at: .zero)
        _ = state.step(.opened(Self.opening(1, ["a", "b"])), at: .zero)
        let stale = state.step(Self.push("a", round: 1, base: 0), at: .zero)
        #expect(Self.answers(stale) == [.stale(by: 1)])
        _ = state.step(.opened(Self.opening(2, ["b"], kind: .warmup)), at: .zero)
        #expect(state.version(of: 0) == 1)
    }

    @Test("A push that does not count is an answer all the same: its round closes without it")
    func turnedDown() {
        var state = Self.server(["a", "b"])
        _ = state.step(Self.push("a", round: 0), at: .zero)
        let effects = state.step(Self.push("b", round: 0, flaw: "not finite"), at: .zero)
        #expect(Self.answers(effects) == [.refused("not finite")])
        #expect(Self.merges(effects).map { $0.weights.map(\.key.worker) } == [["a"]])
        #expect(
            effects.contains(
                .report(
                    RoundClosing(
                        round: 0, applied: ["a": 1], turnedDown: ["b"], steps: ["a": 1]))))
        var alone = Self.server(["a"])
        let rollback = alone.step(Self.push("a", round: 0, flaw: "not finite"), at: .zero)
        #expect(Self.merges(rollback).map(\.weights.count) == [0])
    }

    @Test("A repeated or outdated opening does not reopen a round")
    func openingTwice() {
        var state = Self.server(["a"])
        _ = state.step(Self.push("a", round: 0), at: .zero)
        #expect(state.step(.opened(Self.opening(0, ["a"])), at: .zero).isEmpty)
        #expect(state.version(of: 0) == 1)
    }
}
