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
        bases = [:]
        let found = await onComputeExecutor {
            await trainer.applyMeanGradient(scheduleStep: step)
        }
        guard found == expected else {
            environment.logger.warning("warm-up step differs from the servers' at \(version)")
            return false
        }
        for module in trainer.layout.modules.indices { bases[module] = version }
        return true
    }

    /// Pulls all modules, again where needed, until all are of one version.
    func adoptParameters(
        _ version: UInt64, withMoments: Bool
    ) async throws -> (version: UInt64, withMoments: Bool) {
        var wanted = version
        var held = [Adopted?](
            repeating: nil, count: try trained().layout.modules.count)
        while true {
            let (version, missing) = (wanted, held.indices.filter { held[$0]?.version != wanted })
            if missing.isEmpty { break }
            let adopted = try await inOrder(missing.count, atOnce: Worker.modulesAtOnce) {
                try await self.adopt(missing[$0], version, withMoments ? .state : .parameters)
            }
            for (module, adopted) in zip(missing, adopted) {
                held[module] = adopted
                wanted = max(wanted, adopted.version)
            }
        }
        return (wanted, held.allSatisfy { $0?.hasMoments == true })
    }

    /// Pulls what there is of every module now, each at a version of its own, none from before
    /// `version`; whether the servers gave moments along.
    func adoptNewest(since version: UInt64) async throws -> Bool {
        let content: PullContent = state.version == nil ? .state : .parameters
        let modules = try trained().layout.modules.count
        let adopted = try await inOrder(modules, atOnce: Worker.modulesAtOnce) {
            try await self.adopt($0, version, content)
        }
        return adopted.allSatisfy(\.hasMoments)
    }

    /// What has been taken in of a module.
    private struct Adopted: Sendable {
        var version: UInt64
        var hasMoments: Bool
    }

    /// Pulls `module` at `version` or later and takes it in.
    private func adopt(
        _ module: Int, _ version: UInt64, _ content: PullContent
    ) async throws -> Adopted {
        let trainer = try trained()
        guard let pulled = try await pull(module, version, exactly: false, content) else {
            throw ClusterError(.protocolViolation, "a pull without a result")
        }
        await timed(.adopt, module: module) {
            await trainer.adopt(pulled.arrays[0], module: module)
        }
        bases[module] = pulled.version
        if pulled.arrays.count == 3 {
            await trainer.adoptMoments(
                first: pulled.arrays[1], second: pulled.arrays[2], module: module,
                steps: Int(pulled.version))
        }
        return Adopted(version: pulled.version, hasMoments: pulled.arrays.count == 3)
    }

    /// Arrays of one version of a module.
    private struct Pulled {
        var version: UInt64
        var arrays: [FloatBuffer]
        /// Of the parameters that workers have of it.
        var checksum: UInt32
    }

    /// One pull, asked again until the version is there; nil if `exactly` that one is gone.
    ///
    /// Parameters come as what has changed since those that the anchor is of, where there is a
    /// codec for that; if that does not lead to what the server has, in full.
    private func pull(
        _ module: Int, _ version: UInt64, exactly: Bool, _ content: PullContent
    ) async throws -> Pulled? {
        if content == .parameters, pullCodec != .raw, let base = bases[module],
            let pulled = try await pullChanges(of: module, since: base, to: version)
        {
            return pulled
        }
        let request = PullRequest(
            module: module, version: version, isExact: exactly, content: content)
        let reply = try await timed(.pull, module: module) { try await ask(for: request) }
        return try reply.map { try arrays(of: $0, module) }
    }

    /// The parameters at `version` or later, by what has changed `since` the anchor's version; nil
    /// if what comes does not lead there, and the anchor is not what it was thought to be.
    private func pullChanges(
        of module: Int, since base: UInt64, to version: UInt64
    ) async throws -> Pulled? {
        let request = PullRequest(
            module: module, version: version, isExact: false, content: .deltas(from: base))
        let found = try await timed(.pull, module: module) { try await ask(for: request) }
        guard let reply = found else { return nil }
        // A server that has not all of the deltas any more gives everything.
        guard reply.arrays == 0 else { return try arrays(of: reply, module) }
        do {
            guard let deltas = reply.deltas(from: base) else {
                throw CodecError(
                    .mismatch,
                    "\(reply.deltaBytes.count) deltas from \(base) to \(reply.version)")
            }
            let (trainer, codec) = (try trained(), pullCodec)
            let parameters = try await timed(.adopt, module: module) {
                try await onCodingExecutor {
                    try await trainer.anchor(
                        of: module, after: deltas, codec: codec, checksum: reply.checksum)
                }
            }
            return Pulled(
                version: reply.version, arrays: [parameters], checksum: reply.checksum)
        } catch let error as CodecError {
            environment.logger.warning(
                "module \(module) at version \(reply.version) is pulled in full: \(error)")
            bases[module] = nil
            return nil
        }
    }

    private func ask(for request: PullRequest) async throws -> PulledVersion? {
        while true {
            switch try await shardServer(of: request.module).pull(request) {
            case .present(let pulled):
                progress.received(pulled.bytes.readableBytes)
                return pulled
            case .gone: return nil
            case .notYet: continue
            }
        }
    }

    private func arrays(of pulled: PulledVersion, _ module: Int) throws -> Pulled {
        let count = try trained().layout.modules[module].range.count
        guard pulled.arrays > 0 else {
            throw ClusterError(.protocolViolation, "a version without numbers")
        }
        return Pulled(
            version: pulled.version,
            arrays: try RawCodec.arrays(pulled.arrays, of: count, from: pulled.bytes),
            checksum: pulled.checksum)
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
                if codec.keepsResidual, saved.residual == nil {
                    environment.logger.notice("what its updates had left unsaid was not kept")
                }
                return
            }
        }
        if version > 0 { await trainer.forgetMoments() }
    }
}
