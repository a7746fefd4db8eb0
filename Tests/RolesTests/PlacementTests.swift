import Cluster
import Codec
import LocalSGD
import NIOCore
import Tensors
import Testing

@testable import Roles

/// T10 for any placement of modules, not only for those that a ``ShardMap`` makes of their sizes.
///
/// Servers are here what they decide and what they hold; there is no network between.
@Suite("Placement of modules on servers")
struct PlacementTests {
    private static let layout = QuadraticObjective.layout
    private static let workers = 3
    private static let rounds = 20

    private struct Server {
        var state: ShardState
        var stores: [Int: ModuleStore] = [:]

        init(_ modules: [Int], _ settings: RunSettings) {
            state = ShardState(settings)
            for module in modules {
                let start = FloatBuffer(QuadraticObjective.start(module))
                stores[module] = ModuleStore(
                    ModuleContents(
                        parameters: start, momentum: FloatBuffer(count: start.count)),
                    version: 0, parts: PartLayout(module: module, of: PlacementTests.layout),
                    settings: settings)
                _ = state.step(.installed(module: module, version: 0), at: .zero)
            }
        }

        /// What `worker` makes of `module` in `round`, from the parameters that there are.
        private func push(_ module: Int, by worker: Int, round: Int) throws -> Push {
            let anchor = try #require(stores[module]).current.parameters
            let local = FloatBuffer(
                (0..<anchor.count).map { index in
                    let target = QuadraticObjective.target(
                        Int32(round * PlacementTests.workers + worker), index)
                    return anchor[index] + 0.1 * (Float(target) - anchor[index])
                })
            let update = Update.pseudoGradient(PseudoGradient(anchor: anchor, local: local))
            return Push(
                contribution: Contribution(
                    key: PushKey(
                        worker: "w\(worker)", incarnation: 1, module: module,
                        sequence: UInt64(round)),
                    round: round, kind: .local, baseVersion: UInt64(round), steps: 1 + worker,
                    tokens: 8 + 8 * worker, norm: update.norm, codec: "raw"),
                payload: try Codec.raw.encode(update))
        }

        mutating func take(_ module: Int, from worker: Int, round: Int) throws {
            let push = try push(module, by: worker, round: round)
            let found = try #require(stores[module]).examine(push, with: .raw)
            #expect(found.flaw == nil)
            stores[module]?.hold(push, norm: found.norm)
            for effect in state.step(.pushed(push.contribution, flaw: found.flaw), at: .zero) {
                if case .merge(let plan) = effect { stores[plan.module]?.merge(plan) }
            }
        }
    }

    /// Parameters, momentum and clip of each module after the rounds, with `owners` for a map and
    /// pushes in an order of the seed's.
    private static func run(_ owners: [Int], seed: UInt64) throws -> [ModuleContents] {
        var settings = SimulationTests.settings(rounds: rounds, warmup: 0)
        settings.penalty.clip.firstRound = 2
        settings.penalty.clip.lastRound = 6
        settings.penalty.clip.factor = 0.5
        let map = ShardMap(shards: ["s0", "s1", "s2"], owners: owners)
        var servers = map.shards.map { Server(map.modules(of: $0), settings) }
        let members = (0..<workers).map {
            RoundMember(worker: "w\($0)", incarnation: 1, isObserving: false)
        }
        var generator = SeededGenerator(seed: seed)
        for round in 0..<rounds {
            let opening = RoundOpening(
                round: round, kind: .local, members: members, scheduleStep: round,
                retainsBase: false)
            for index in servers.indices {
                _ = servers[index].state.step(.opened(opening), at: .zero)
            }
            let pushes = (0..<owners.count * workers).shuffled(using: &generator)
            for push in pushes {
                let (module, worker) = (push / workers, push % workers)
                try servers[owners[module]].take(module, from: worker, round: round)
            }
        }
        return try owners.indices.map { module in
            let store = try #require(servers[owners[module]].stores[module])
            #expect(store.current.version == UInt64(rounds))
            return store.current.contents(isShadowed: false)
        }
    }

    @Test("T10: 20 rounds leave the same bits wherever modules are, and in any order of pushes")
    func t10() throws {
        let one = try Self.run([0, 0, 0, 0], seed: 1)
        #expect(one.allSatisfy { $0.record?.clip.bound != nil })
        #expect(one[0].parameters.array != QuadraticObjective.start(0))
        for seed in 1...16 as ClosedRange<UInt64> {
            var generator = SeededGenerator(seed: seed &+ 99)
            let owners = one.map { _ in Int(generator.next() % 3) }
            for (module, found) in try Self.run(owners, seed: seed).enumerated() {
                let same = one[module]
                #expect(found.parameters.array == same.parameters.array, "\(owners), \(module)")
                #expect(found.momentum.array == same.momentum.array, "\(owners), \(module)")
                #expect(found.record == same.record, "\(owners), \(module)")
            }
        }
    }

    @Test("T10: whatever sizes and servers there are, each module has one server")
    func owners() {
        var generator = SeededGenerator(seed: 5)
        for _ in 0..<200 {
            let sizes = (0..<Int(generator.next() % 20)).map { _ in Int(generator.next() % 1000) }
            let names = (0...Int(generator.next() % 7)).map { "s\($0)" }
            let map = ShardMap(placing: sizes, on: names.shuffled(using: &generator))
            #expect(map == ShardMap(placing: sizes, on: names))
            let held = map.shards.flatMap { map.modules(of: $0) }
            #expect(held.sorted() == Array(sizes.indices))
            #expect(sizes.indices.allSatisfy { map.modules(of: map.owner(of: $0)).contains($0) })
        }
    }
}
