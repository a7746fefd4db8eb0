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

    private func push(_ payload: ByteBuffer, norm: Double, codec: String) -> Push {
        Push(
            contribution: Contribution(
                key: PushKey(worker: "w", incarnation: 1, module: 0, sequence: 5), round: 5,
                kind: .local, baseVersion: 5, steps: 1, tokens: 8, norm: norm, codec: codec),
            payload: payload)
    }

    /// Whoever has not moved away from what it was given has learnt nothing, and says so.
    @Test("An update is taken against what the worker could see, not against the parameters")
    func anchorIsTheShadow() throws {
        for isFree in [false, true] {
            let settings = settings()
            var (store, shadow) = store(settings)
            let before = store.current.parameters.array
            let push = push(RawCodec.bytes(of: [shadow]), norm: 0, codec: "raw")
            if isFree { store.bases.handOut(store.current, to: "w") }
            let found = store.examine(push, with: .raw)
            #expect(found.flaw == nil)
            #expect(found.norm == 0)
            store.hold(push, norm: found.norm)
            var state = ShardState(settings)
            _ = state.step(.installed(module: 0, version: 5), at: .zero)
            _ = state.step(
                .opened(
                    RoundOpening(
                        round: 5, kind: .local,
                        members: [RoundMember(worker: "w", incarnation: 1, isObserving: false)],
                        scheduleStep: 0, retainsBase: false, isFree: isFree)), at: .zero)
            for effect in state.step(.pushed(push.contribution, flaw: nil), at: .zero) {
                if case .merge(let plan) = effect { store.merge(plan) }
                if case .apply(let plan) = effect { store.apply(plan) }
            }
            #expect(store.current.version == 6)
            #expect(store.current.parameters.array == before)
        }
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
        var (store, _) = store(settings())
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
