internal import Cluster
internal import Codec
internal import Distributed
internal import LocalSGD
internal import Logging
internal import NIOCore
internal import Tensors

/// How the coordinator carries out what its state machine has decided.
extension Coordinator {
    func perform(_ effect: CoordinatorState.Effect) async {
        switch effect {
        case .seed(let map): await seed(map)
        case .open(let opening): await open(opening)
        case .remove(let worker, let incarnation, let round):
            let removal = Removal(worker: worker, incarnation: incarnation, round: round)
            await tellShards("remove \(worker)") { _ = try await $0.remove(removal) }
        case .keep(let version): await keep(version)
        case .wake, .log: break
        }
    }

    /// Gives every module to its server.
    private func seed(_ map: ShardMap) async {
        do {
            for module in environment.layout.modules.indices {
                let contents = try await environment.origin.module(module)
                let install = ModuleInstall(
                    module: module,
                    version: contents.record?.version ?? UInt64(environment.origin.version),
                    contents: contents, parts: PartLayout(module: module, of: environment.layout))
                let shard = try shardServer(map.owner(of: module))
                try await retrying(on: environment.clock) { _ = try await shard.install(install) }
            }
            advance(.seeded)
        } catch {
            advance(.seedFailed(reason: "modules can't be placed: \(error)"))
        }
    }

    private func open(_ opening: RoundOpening) async {
        let isTold = await tellShards("open round \(opening.round)") {
            _ = try await $0.open(opening)
        }
        if isTold { advance(.opened(round: opening.round)) }
    }

    /// Tells all shard servers the same, each until it has heard; false if one can't be reached.
    @discardableResult
    private func tellShards(
        _ what: String, _ order: @escaping @Sendable (ShardServer) async throws -> Void
    ) async -> Bool {
        let clock = environment.clock
        do {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for name in state.shards {
                    let shard = try shardServer(name)
                    group.addTask { try await retrying(on: clock) { try await order(shard) } }
                }
                try await group.waitForAll()
            }
            return true
        } catch {
            if !Task.isCancelled { environment.logger.warning("can't \(what): \(error)") }
            return false
        }
    }

    func shardServer(_ name: String) throws -> ShardServer {
        try ShardServer.resolve(id: NodeID(role: .shard, name: name), using: actorSystem)
    }

    // MARK: Keeping

    /// Collects a version from the shard servers, module by module, and writes it.
    private func keep(_ version: UInt64) async {
        guard let snapshot = state.keeping, snapshot.version == version else { return }
        do {
            let kept = try await environment.keeper.begin(version)
            do {
                var modules: [ModuleRecord] = []
                for module in environment.layout.modules.indices {
                    let contents = try await fetch(module, version)
                    if let record = contents.record { modules.append(record) }
                    try await kept.append(module: module, contents)
                }
                let path = try await kept.finish(record(snapshot, modules))
                advance(.kept(version: version, path: path))
            } catch {
                await kept.abandon()
                throw error
            }
        } catch {
            advance(.keepFailed(version: version, reason: "\(error)"))
        }
    }

    private func fetch(_ module: Int, _ version: UInt64) async throws -> ModuleContents {
        guard let map = state.shardMap else {
            throw ClusterError(.protocolViolation, "no modules are placed")
        }
        let shard = try shardServer(map.owner(of: module))
        // Where there are no rounds, each module is kept as it is now, at a version of its own.
        let warmup = UInt64(environment.settings.rounds.warmup)
        let isFree = environment.settings.mode == .asynchronous && version > warmup
        let request = PullRequest(
            module: module, version: isFree ? 0 : version, isExact: !isFree, content: .checkpoint)
        let reply = try await retrying(on: environment.clock) { try await shard.pull(request) }
        guard case .present(let pulled) = reply else {
            throw ClusterError(
                .remoteFailure, "version \(version) of module \(module) is not there any more")
        }
        let count = environment.layout.modules[module].range.count
        let arrays = try RawCodec.arrays(pulled.arrays, of: count, from: pulled.bytes)
        guard var contents = ModuleContents(arrays: arrays, isShadowed: pulled.isShadowed) else {
            throw ClusterError(.protocolViolation, "\(pulled.arrays) arrays for a checkpoint")
        }
        contents.record = pulled.record
        if isFree {
            if let record = pulled.record { noteVersion(record.version, of: module) }
            // All modules alike, also one that nobody has pushed to since the warm-up.
            contents.moments = nil
            contents.pending = contents.pending ?? FloatBuffer(count: count)
            if Codec.pulls(environment.settings) != .raw {
                contents.shadow = contents.shadow ?? contents.parameters
            }
        }
        return contents
    }

    private func record(
        _ snapshot: CoordinatorState.Snapshot, _ modules: [ModuleRecord]
    ) -> RunRecord {
        RunRecord(
            runID: environment.runID, runName: environment.runName, version: snapshot.version,
            settings: environment.settings, ledger: snapshot.ledger, history: snapshot.history,
            modules: modules, corpus: environment.sequences.fingerprint)
    }

    // MARK: The end

    /// Tells the shard servers that they are not needed any more; one that does not hear it will
    /// notice that the coordinator is gone.
    func dismissShards(on clock: any ClusterClock) async {
        let reason: String
        if case .failed(let why) = state.phase { reason = why } else { reason = "the run is over" }
        for name in state.shards {
            guard let shard = try? shardServer(name) else { continue }
            _ = try? await shard.stop(StopRequest(reason: reason))
        }
    }
}
