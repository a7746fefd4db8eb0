internal import Cluster
internal import Codec
internal import Distributed
internal import LocalSGD
internal import Logging
internal import NIOCore
internal import Tensors
internal import Wire

/// How a worker takes in what shard servers hand out.
extension Worker {
    /// Pulls the mean gradient that leads to `version` and applies it; false if the server has gone
    /// on, or if the result is not the server's, bit for bit.
    func adoptGradient(_ version: UInt64, warmup: Int) async throws -> Bool {
        let trainer = try trained()
        var expected: [UInt32] = []
        for module in trainer.layout.modules.indices {
            let pulled = try await pull(module, version, exactly: true, .gradient)
            guard let pulled, pulled.arrays.count == 1 else { return false }
            await trainer.collect(meanGradient: pulled.arrays[0], module: module)
            expected.append(pulled.checksum)
        }
        let step = try joined().settings.step(atRound: Int(version) - 1)
        let found = await onComputeExecutor {
            await trainer.applyMeanGradient(scheduleStep: step)
        }
        if found != expected {
            environment.logger.warning("warm-up step differs from the servers' at \(version)")
        }
        return found == expected
    }

    /// Pulls all modules, again where needed, until all are of one version.
    func adoptParameters(
        _ version: UInt64, withMoments: Bool
    ) async throws -> (version: UInt64, withMoments: Bool) {
        let trainer = try trained()
        var wanted = version
        var hasMoments = true
        var held = [UInt64?](repeating: nil, count: trainer.layout.modules.count)
        while let module = held.firstIndex(where: { $0 != wanted }) {
            let content: PullContent = withMoments ? .state : .parameters
            guard let pulled = try await pull(module, wanted, exactly: false, content) else {
                throw ClusterError(.protocolViolation, "a pull without a result")
            }
            await trainer.adopt(pulled.arrays[0], module: module)
            hasMoments = hasMoments && pulled.arrays.count == 3
            if pulled.arrays.count == 3 {
                await trainer.adoptMoments(
                    first: pulled.arrays[1], second: pulled.arrays[2], module: module,
                    steps: Int(pulled.version))
            }
            held[module] = pulled.version
            wanted = max(wanted, pulled.version)
        }
        return (wanted, hasMoments)
    }

    /// Pulls what there is of every module now, each at a version of its own, none from before
    /// `version`; whether the servers gave moments along.
    func adoptNewest(since version: UInt64) async throws -> Bool {
        let trainer = try trained()
        var held: [UInt64] = []
        var hasMoments = true
        for module in trainer.layout.modules.indices {
            guard let pulled = try await pull(module, version, exactly: false, .state) else {
                throw ClusterError(.protocolViolation, "a pull without a result")
            }
            await trainer.adopt(pulled.arrays[0], module: module)
            hasMoments = hasMoments && pulled.arrays.count == 3 && state.version == nil
            if hasMoments {
                await trainer.adoptMoments(
                    first: pulled.arrays[1], second: pulled.arrays[2], module: module,
                    steps: Int(pulled.version))
            }
            held.append(pulled.version)
        }
        bases = held
        return hasMoments
    }

    /// One pull, asked again until the version is there; nil if `exactly` that one is gone.
    private func pull(
        _ module: Int, _ version: UInt64, exactly: Bool, _ content: PullContent
    ) async throws -> (version: UInt64, arrays: [FloatBuffer], checksum: UInt32)? {
        let count = try trained().layout.modules[module].range.count
        while true {
            let shard = try await shardServer(of: module)
            let reply = try await shard.pull(
                PullRequest(module: module, version: version, isExact: exactly, content: content))
            switch reply {
            case .present(let version, let arrays, let checksum, let bytes, _):
                progress.received(bytes.readableBytes)
                let values = try RawCodec.arrays(arrays, of: count, from: bytes)
                return (version, values, checksum)
            case .gone: return nil
            case .notYet: continue
            }
        }
    }

    /// The moments of a worker that has just joined and got none from the servers: those it has
    /// kept of this very version, or none.
    func settleMoments(_ version: UInt64) async throws {
        let trainer = try trained()
        if let runID = welcome?.runID,
            await environment.vault.versions(runID).contains(version)
        {
            let saved = try await environment.vault.load(runID, version)
            if await trainer.restore(saved) {
                if let kept = saved.judge, judge.map({ kept.fits($0) }) == true { judge = kept }
                environment.logger.notice("optimizer state of version \(version) restored")
                return
            }
        }
        if version > 0 { await trainer.forgetMoments() }
    }
}
