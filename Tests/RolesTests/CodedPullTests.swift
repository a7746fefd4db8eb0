import Cluster
import LocalSGD
import NIOCore
import Synchronization
import Tensors
import Testing
import Wire

@testable import Codec
@testable import Roles

/// What servers say to workers, coded: both ends have the same bits all the same.
@Suite("Coded pulls")
struct CodedPullTests {
    static func options(
        _ pullCodec: String = "topk/512", rounds: Int = 12, _ mode: RunMode = .edit
    ) -> SimulatedCluster.Options {
        var options = SimulatedCluster.Options()
        options.settings = SimulationTests.settings(rounds: rounds)
        options.settings.mode = mode
        options.settings.rounds.syncSeconds = 0.4
        // What is said late must not be said again by momentum.
        options.settings.outer.learningRate = 1
        options.settings.outer.momentum = 0
        options.settings.pulls.codec = pullCodec
        options.limit = .seconds(10_000)
        return options
    }

    /// The anchors of all workers that were there at the end.
    static func anchors(_ cluster: SimulatedCluster) async -> [String: [Float]] {
        var anchors: [String: [Float]] = [:]
        for (name, trainer) in cluster.trainers.withLock({ $0 }) {
            anchors[name] = await trainer.anchor.array
        }
        return anchors
    }

    static func distance(_ outcome: SimulatedCluster.Outcome) -> Double {
        zip(outcome.parameters, outcome.shadow)
            .reduce(0) { $0 + Double(($1.0 - $1.1) * ($1.0 - $1.1)) }.squareRoot()
    }

    @Test(
        "T15: after n versions every worker has what its servers think, also who came late",
        arguments: [3, 4, 15], ["topk/1", "topk/512", "int4/plain", "fp4"])
    func t15(rounds: Int, codec: String) async throws {
        for mode in [RunMode.edit, .aEdit] {
            let cluster = SimulatedCluster(Self.options(codec, rounds: rounds, mode))
            let outcome = try cluster.run([
                .start("late", incarnation: 1, at: .milliseconds(1500))
            ])
            #expect(outcome.phase == .finished)
            let anchors = await Self.anchors(cluster)
            if rounds > 10 { #expect(anchors.count == 4) }
            for (name, anchor) in anchors { #expect(anchor == outcome.shadow, "\(name)") }
            #expect(Self.distance(outcome) > 0)
        }
    }

    @Test("T15: what is left unsaid stays bounded")
    func t15Bounded() throws {
        var distances: [Double] = []
        var options = Self.options(rounds: 90)
        options.settings.pulls.fullEvery = 0
        options.settings.observation.checkpointEvery = 1
        let cluster = SimulatedCluster(options)
        _ = try cluster.run()
        let kept = cluster.checkpoints.withLock { $0 }
        for version in 3...90 as ClosedRange<UInt64> {
            distances.append(Self.distance(try #require(kept[version])))
        }
        let early = try #require(distances[0..<30].max())
        let late = try #require(distances[60...].max())
        #expect(early > 0)
        #expect(late < early, "\(early), then \(late)")
    }

    @Test("Every so many versions all workers get the parameters themselves")
    func fullEvery() throws {
        var options = Self.options(rounds: 21)
        options.settings.pulls.fullEvery = 7
        options.settings.observation.checkpointEvery = 1
        let cluster = SimulatedCluster(options)
        _ = try cluster.run()
        let kept = cluster.checkpoints.withLock { $0 }
        for (version, outcome) in kept where version > 2 {
            #expect((Self.distance(outcome) == 0) == version.isMultiple(of: 7), "\(version)")
        }
    }

    @Test("T15: through loss and duplication, in every mode", arguments: RunMode.allCases)
    func t15Faults(mode: RunMode) async throws {
        for seed in 1...3 as ClosedRange<UInt64> {
            var options = Self.options(rounds: 10, mode)
            options.seed = seed
            options.faults.loss = 0.03
            options.faults.duplication = 0.1
            options.faults.delay = .microseconds(100)...(.milliseconds(150))
            let incidents: [SimulatedCluster.Incident] = [
                .kill("w2", at: .seconds(1)), .start("w3", incarnation: 1, at: .seconds(2)),
            ]
            let versions = Mutex<Set<[Float]>>([])
            func run() throws -> (SimulatedCluster, SimulatedCluster.Outcome) {
                let cluster = SimulatedCluster(options)
                let outcome = try cluster.run(incidents) { simulation in
                    try await Self.follow(simulation, on: cluster.simulation, versions)
                }
                return (cluster, outcome)
            }
            let (cluster, outcome) = try run()
            #expect(outcome.phase == .finished, "seed \(seed)")
            #expect(try run().1.digest == outcome.digest, "seed \(seed)")
            // Whoever did not hear of the end in time has earlier versions of some modules.
            for (name, anchor) in await Self.anchors(cluster) where name != "w2" {
                for (index, module) in QuadraticObjective.layout.modules.enumerated() {
                    let numbers = Array(anchor[module.range]) + [Float(index)]
                    let isKnown = versions.withLock { $0.contains(numbers) }
                    #expect(isKnown, "seed \(seed), \(name), module \(index)")
                }
            }
        }
    }

    /// Notes what workers have been given of each module, its index behind its numbers.
    private static func follow(
        _ cluster: ClusterSimulation, on clock: Simulation,
        _ versions: borrowing Mutex<Set<[Float]>>
    ) async throws {
        let layout = QuadraticObjective.layout
        let shadow = FloatBuffer(count: layout.count)
        while true {
            if await cluster.copyParameters(layout, asPulled: true, to: shadow) {
                for (index, module) in layout.modules.enumerated() {
                    let numbers = shadow[module.range].array + [Float(index)]
                    versions.withLock { _ = $0.insert(numbers) }
                }
            }
            try await clock.sleep(for: .milliseconds(25))
        }
    }

    @Test("T16: duplicated, reordered and delayed pulls end where a calm network does")
    func t16() throws {
        let calm = try SimulatedCluster(Self.options(rounds: 6)).run()
        for seed in 1...8 as ClosedRange<UInt64> {
            var options = Self.options(rounds: 6)
            options.seed = seed
            options.faults.duplication = 0.3
            options.faults.delay = .microseconds(100)...(.milliseconds(200))
            let outcome = try SimulatedCluster(options).run()
            #expect(outcome.parameters == calm.parameters, "seed \(seed)")
            #expect(outcome.shadow == calm.shadow, "seed \(seed)")
        }
    }

    @Test("A worker whose anchor is not what it thinks pulls in full and goes on")
    func damagedAnchor() async throws {
        let cluster = SimulatedCluster(Self.options(rounds: 30))
        let isDamaged = Mutex(false)
        let outcome = try cluster.run(watch: { _ in
            try await cluster.simulation.sleep(for: .seconds(4))
            let trainer = cluster.trainers.withLock { $0["w1"] }
            await trainer?.damageAnchor()
            isDamaged.withLock { $0 = trainer != nil }
        })
        #expect(outcome.phase == .finished)
        #expect(isDamaged.withLock { $0 })
        #expect(outcome.duration < .seconds(30), "no round waits for it until its deadline")
        for (name, anchor) in await Self.anchors(cluster) {
            #expect(anchor == outcome.shadow, "\(name)")
        }
    }

    @Test(
        "A run learns as well with coded pulls, with and without rounds",
        arguments: RunMode.allCases)
    func learns(mode: RunMode) throws {
        func last(_ pullCodec: String) throws -> (first: Double, last: Double) {
            var options = Self.options(pullCodec, rounds: 40, mode)
            options.settings.observation.evaluateEvery = 4
            let outcome = try SimulatedCluster(options).run()
            let losses = (outcome.record?.history.points ?? []).compactMap(\.heldOutLoss)
            return (try #require(losses.first), try #require(losses.last))
        }
        let raw = try last("raw")
        let coded = try last("topk/512")
        #expect(coded.last - raw.last < 0.1 * (raw.first - raw.last), "\(coded), raw \(raw)")
    }

    @Test("Pulls after the warm-up are as small as their codec")
    func bytes() throws {
        func down(_ pullCodec: String, _ mode: RunMode) throws -> Int {
            var options = Self.options(pullCodec, rounds: 20, mode)
            options.layout = ParameterLayout(modules: [
                (name: "wide", tensors: [(name: "wide.weight", shape: [4096])])
            ])
            options.settings.observation.checkpointEvery = 0
            options.settings.observation.evaluateEvery = 0
            options.settings.pulls.fullEvery = 0
            let cluster = SimulatedCluster(options)
            cluster.network.connect(NodeID(role: .worker, name: "w0"), by: SimulatedLink())
            _ = try cluster.run()
            return cluster.network.traffic(of: NodeID(role: .worker, name: "w0")).down
        }
        for mode in RunMode.allCases {
            let raw = try down("raw", mode)
            let coded = try down("topk/144", mode)
            #expect(coded * 4 < raw, "\(mode): \(coded) of \(raw) bytes")
        }
    }
}

extension LocalTrainer {
    fileprivate func damageAnchor() { for index in 0..<layout.count { anchor[index] += 0.5 } }
}
