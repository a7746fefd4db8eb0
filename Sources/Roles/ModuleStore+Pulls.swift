internal import Codec
internal import LocalSGD
internal import NIOCore
internal import Tensors

/// What a shard server says of a module to those who pull it.
extension ModuleStore {
    /// `version` as the one who wants `content` of it gets it.
    func reply(_ version: ModuleVersion, _ content: PullContent) -> PullReply {
        switch content {
        case .parameters:
            return .present(version, arrays: [version.shadow])
        case .gradient:
            guard let gradient = version.gradient else { return .gone(version: version.version) }
            return .present(version, arrays: [gradient])
        case .state:
            let moments = version.contents(isShadowed: false).moments
            return .present(
                version, arrays: [version.shadow] + (moments.map { [$0.first, $0.second] } ?? []))
        case .checkpoint:
            let contents = version.contents(isShadowed: pullCodec != .raw)
            return .present(
                version, arrays: contents.arrays, isShadowed: contents.shadow != nil,
                record: contents.record)
        case .deltas(let held):
            guard let payloads = deltas.payloads(from: held, to: version.version) else {
                return .present(version, arrays: [version.shadow])
            }
            var bytes = ByteBuffer()
            for payload in payloads { bytes.writeImmutableBuffer(payload) }
            return .present(
                PulledVersion(
                    version: version.version, checksum: version.checksum,
                    deltaBytes: payloads.map(\.readableBytes), bytes: bytes))
        }
    }

    /// What workers are to have of `parameters` as `version`; what tells them is kept for them.
    ///
    /// Every so many versions, and where the difference can't be said, it is the parameters
    /// themselves, and everyone has to get them in full.
    mutating func shadow(
        of parameters: FloatBuffer, at version: UInt64, versionsPerRound: Int = 1
    ) -> FloatBuffer {
        guard pullCodec != .raw else { return parameters }
        let period = UInt64(settings.pulls.fullEvery * max(versionsPerRound, 1))
        if period > 0, version.isMultiple(of: period) {
            deltas.clear()
            return parameters
        }
        var shadow = BroadcastShadow(parameters: current.shadow, codec: pullCodec)
        guard let payload = try? shadow.publish(parameters) else {
            deltas.clear()
            return parameters
        }
        deltas.append(
            payload, version: version, byteCountMax: count * MemoryLayout<Float>.stride)
        return shadow.parameters
    }
}

extension PullReply {
    fileprivate static func present(
        _ version: ModuleVersion, arrays: [FloatBuffer], isShadowed: Bool = false,
        record: ModuleRecord? = nil
    ) -> PullReply {
        .present(
            PulledVersion(
                version: version.version, checksum: version.checksum, arrays: arrays.count,
                isShadowed: isShadowed, bytes: RawCodec.bytes(of: arrays), record: record))
    }
}
