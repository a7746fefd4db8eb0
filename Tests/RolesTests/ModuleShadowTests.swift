import LocalSGD
import NIOCore
import Tensors
import Testing

@testable import Codec
@testable import Roles

/// A module whose workers do not have its parameters, but what they were told of them.
@Suite("A module and its shadow")
struct ModuleShadowTests {
    private static let count = 64

    private func settings(codec: String = "raw") -> RunSettings {
        var settings = CodedPullTests.options().settings
        settings.codec = codec
        settings.rounds.warmup = 0
        return settings
    }

    private func store(_ settings: RunSettings) -> (ModuleStore, shadow: FloatBuffer) {
        let parameters = FloatBuffer((0..<Self.count).map { Float($0) / 7 })
        let shadow = FloatBuffer((0..<Self.count).map { Float($0) / 7 + 0.25 })
        let contents = ModuleContents(
            parameters: parameters, momentum: FloatBuffer(count: Self.count), shadow: shadow)
        let parts = PartLayout(
            module: 0,
            of: ParameterLayout(modules: [
                (name: "m", tensors: [(name: "m.weight", shape: [Self.count])])
            ]))
        return (ModuleStore(contents, version: 5, parts: parts, settings: settings), shadow)
    }

    private func push(
        _ payload: ByteBuffer, norm: Double, codec: String, by worker: String = "w"
    ) -> Push {
        Push(
            contribution: Contribution(
                key: PushKey(worker: worker, incarnation: 1, module: 0, sequence: 5), round: 5,
                kind: .local, baseVersion: 5, steps: 1, tokens: 8, norm: norm, codec: codec),
            payload: payload)
    }

    /// Lets `state` decide `pushes` of round 5 and carries out what comes of them.
    private func take(
        _ pushes: [Push], isFree: Bool, _ settings: RunSettings, _ store: inout ModuleStore,
        then note: (ModuleStore) -> Void = { _ in }
    ) {
        var state = ShardState(settings)
        _ = state.step(.installed(module: 0, version: 5), at: .zero)
        let members = pushes.map {
            RoundMember(
                worker: $0.contribution.key.worker, incarnation: 1, isObserving: false)
        }
        let opening = RoundOpening(
            round: 5, kind: .local, members: members, scheduleStep: 0, retainsBase: false,
            isFree: isFree)
        _ = state.step(.opened(opening), at: .zero)
        for push in pushes {
            let found = store.examine(push, with: .raw)
            #expect(found.flaw == nil)
            #expect(abs(found.norm - push.contribution.norm) < 1e-6)
            store.hold(push, norm: found.norm)
            for effect in state.step(.pushed(push.contribution, flaw: nil), at: .zero) {
                if case .merge(let plan) = effect { store.merge(plan) }
                if case .apply(let plan) = effect { store.apply(plan) }
            }
            note(store)
        }
    }

    /// Whoever has not moved away from what it was given has learnt nothing, and says so.
    @Test("An update is taken against what the worker could see, not against the parameters")
    func anchorIsTheShadow() throws {
        let settings = settings()
        var (store, shadow) = store(settings)
        let before = store.current.parameters.array
        let still = push(RawCodec.bytes(of: [shadow]), norm: 0, codec: "raw")
        take([still], isFree: false, settings, &store)
        #expect(store.current.version == 6)
        #expect(store.current.parameters.array == before)
    }

    @Test("So it is where the mean keeps the length of its contributions")
    func radialAnchorIsTheShadow() throws {
        var settings = settings()
        settings.rounds.merge = .radial
        var (store, shadow) = store(settings)
        let before = store.current.parameters.array
        let still = push(RawCodec.bytes(of: [shadow]), norm: 0, codec: "raw")
        take([still], isFree: false, settings, &store)
        #expect(store.current.version == 6)
        #expect(store.current.parameters.array == before)
    }

    @Test("Without rounds it is taken against what there was when it began")
    func baseIsTheShadow() throws {
        let settings = settings()
        var (other, shadow) = store(settings)
        let moved = shadow.duplicate()
        for index in 0..<moved.count { moved[index] -= 0.5 }
        let first = push(RawCodec.bytes(of: [moved]), norm: 4, codec: "raw", by: "v")
        let still = push(RawCodec.bytes(of: [shadow]), norm: 0, codec: "raw")
        for worker in ["v", "w"] { other.bases.handOut(other.current, to: worker) }
        var parameters: [[Float]] = []
        take([first, still], isFree: true, settings, &other) {
            parameters.append($0.current.parameters.array)
        }
        #expect(other.current.version == 7)
        #expect(parameters.count == 2)
        #expect(parameters[0] != store(settings).0.current.parameters.array)
        #expect(parameters[1] == parameters[0])
    }

    @Test("A version that was kept stays as it was when the next ones are made")
    func keptVersionsStay() {
        var (store, shadow) = store(settings())
        store.retainCurrent()
        let before = shadow.array
        _ = store.shadow(of: store.current.parameters, at: 6)
        #expect(store.version(5)?.shadow.array == before)
    }

    @Test("What can't be coded is handed out in full, and no delta leads there")
    func immoderate() throws {
        var (store, _) = store(settings())
        _ = store.shadow(of: store.current.parameters, at: 6)
        #expect(store.deltas.payloads(from: 5, to: 6)?.count == 1)
        let target = FloatBuffer([Float](repeating: 3e38, count: Self.count))
        #expect(store.shadow(of: target, at: 7).array == target.array)
        #expect(store.deltas.payloads(from: 6, to: 7) == nil)
        #expect(store.deltas.payloads(from: 5, to: 6) == nil)
    }

    @Test("Without rounds everything is sent after as many versions per worker")
    func periodWithoutRounds() {
        var settings = settings()
        settings.pulls.fullEvery = 50
        var (store, _) = store(settings)
        let target = store.current.parameters
        #expect(store.shadow(of: target, at: 50, versionsPerRound: 3).array != target.array)
        #expect(store.shadow(of: target, at: 150, versionsPerRound: 3).array == target.array)
        #expect(store.shadow(of: target, at: 50).array == target.array)
    }

    @Test("An update's bytes are checked although they are decoded only once on arrival")
    func badUpdates() throws {
        let (store, _) = store(settings(codec: "int8/plain"))
        let codec = try #require(Codec(name: "int8/plain"))
        let zeros = FloatBuffer(count: Self.count)
        var payload = try codec.encode(.gradient(zeros))
        #expect(store.examine(push(payload, norm: 0, codec: codec.name), with: codec).flaw == nil)
        payload.moveWriterIndex(to: payload.writerIndex - 1)
        #expect(store.examine(push(payload, norm: 0, codec: codec.name), with: codec).flaw != nil)
    }
}
