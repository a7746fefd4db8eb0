package import LocalSGD
package import NIOCore
package import Tensors

/// How an update becomes bytes and a share of a sum again.
///
/// All codecs stand behind this one seam: a worker encodes, a shard server checks on arrival and
/// adds up when the round closes. All but `raw` send the difference that the update is.
/// `docs/wire.md` has their bytes.
package enum Codec: Hashable, Sendable {
    /// Every number as it is, fp32.
    case raw
    /// Every number in a few bits; `isCompressed` if zstd follows where it gains.
    case dense(BlockFormat, isCompressed: Bool)
    /// The `kept` numbers of largest magnitude in each 4096, two bits for each, entropy-coded.
    case topK(kept: Int)

    package static let bf16 = Codec.dense(.bf16, isCompressed: true)
    package static let int8 = Codec.dense(.int8, isCompressed: true)
    package static let int4 = Codec.dense(.int4, isCompressed: true)
    package static let fp4 = Codec.dense(.fp4, isCompressed: true)
    /// 1.56 % of all numbers: about 0.15 bits a parameter.
    package static let topKUp = Codec.topK(kept: 64)
    /// For parameters that servers hand out: the most that stays below 0.30 bits a parameter.
    package static let topKDown = Codec.topK(kept: keptDown)
    private static let keptDown = 144

    /// What the updates of `kind` in a run with this codec are coded with: a warm-up step is the
    /// same at all nodes, and too near the start to go without most of its gradient.
    package func coding(_ kind: RoundKind) -> Codec { kind == .warmup ? .raw : self }

    /// What versions are coded with for the workers of a run with these settings; `nil` for a name
    /// that this build does not know.
    ///
    /// What a server changes comes from the updates of many workers, each of which names other
    /// parameters: where these are sparse, 9/4 as many numbers are kept, and no fewer than
    /// ``topKDown``, which goes with ``topKUp``.
    package static func pulls(_ settings: RunSettings) -> Codec? {
        guard settings.pulls.codec == PullSettings.automatic else {
            return Codec(name: settings.pulls.codec)
        }
        let codec = Codec(name: settings.codec)
        guard case .topK(let kept) = codec else { return codec }
        return .topK(kept: min(max(kept * 9 / 4, keptDown), TopKSelection.chunkCount))
    }

    /// Whether what it leaves out is kept and said later, see ``ErrorFeedback``.
    ///
    /// At less than 4 bits a number that is not a choice.
    package var keepsResidual: Bool {
        if case .topK = self { return true }
        return false
    }

    /// The bytes of `update`, without memory of earlier ones; see ``ErrorFeedback``.
    ///
    /// The same update gives the same bytes on every machine and any number of threads; behind
    /// zstd, on every machine with the same version of it.
    package func encode(_ update: Update) throws(CodecError) -> ByteBuffer {
        if case .raw = self { return RawCodec.encode(update) }
        return try encode(Feedback(update), next: nil)
    }

    /// Checks that `payload` is an update of `count` finite parameters, before it counts as pushed.
    package func check(_ payload: ByteBuffer, count: Int) throws(CodecError) {
        try decode(payload, count: count, into: .nothing)
    }

    /// Adds `weight` times the update in `payload` to `sum` [n].
    ///
    /// `anchor` [n] holds the parameters of the version that the update starts from; only `raw`
    /// needs it.
    package func accumulate(
        _ payload: ByteBuffer, kind: RoundKind, anchor: FloatBuffer, weight: Double,
        into sum: DoubleBuffer
    ) throws(CodecError) {
        guard case .raw = self else {
            try decode(payload, count: sum.count, into: .sum(sum, weight: weight))
            return
        }
        let values = try RawCodec.decode(payload, count: sum.count)
        switch kind {
        case .warmup: sum.accumulate(values, weight: weight)
        case .local: sum.accumulateDifference(anchor: anchor, local: values, weight: weight)
        }
    }

    /// Adds the numbers in `payload` to `values` [n], each sum rounded to fp32.
    ///
    /// If it throws, part of them may have been added.
    package func add(_ payload: ByteBuffer, to values: FloatBuffer) throws(CodecError) {
        try decode(payload, count: values.count, into: .values(values))
    }

    /// Bytes of `payload`, for modules that know no buffers.
    package static func byteCount(of payload: ByteBuffer) -> Int { payload.readableBytes }

    // MARK: Below the seam

    /// The bytes of what is to be sent; `next` [n] is what is not.
    func encode(_ feedback: Feedback, next: FloatBuffer?) throws(CodecError) -> ByteBuffer {
        switch self {
        case .raw:
            let values = FloatBuffer(count: feedback.count)
            feedback.write(to: values)
            guard values.isModerate else { throw .immoderate }
            next?.clear()
            return RawCodec.bytes(of: [values])
        case .dense(let format, let isCompressed):
            let payload = DensePayload(format: format)
            return ByteBuffer(
                bytes: try payload.encode(feedback, isCompressed: isCompressed, next: next))
        case .topK(let kept):
            return ByteBuffer(bytes: try TopKPayload(kept: kept).encode(feedback, next: next))
        }
    }

    /// More bytes than any codec makes of `count` numbers.
    ///
    /// Raw ones have four each; a coded one has fewer, and some for tables and scales besides.
    static func bytesMax(count: Int) -> Int { 5 * count + 4096 }

    private func decode(
        _ payload: ByteBuffer, count: Int, into sink: Sink
    ) throws(CodecError) {
        // Before any memory is taken for it.
        guard payload.readableBytes <= Self.bytesMax(count: count) else {
            throw CodecError(
                .wrongLength, "\(payload.readableBytes) bytes for \(count) numbers")
        }
        switch self {
        case .raw:
            sink.add(try RawCodec.decode(payload, count: count), at: 0)
        case .dense(let format, _):
            try DensePayload(format: format).decode(
                Buffer(payload), count: count, into: sink)
        case .topK(let kept):
            try TopKPayload(kept: kept).decode(Buffer(payload), count: count, into: sink)
        }
    }
}

// MARK: - Names

extension Codec {
    /// `raw`, `bf16`, `int8`, `int4`, `fp4`, `topk`, `topk/128`; `int8/plain` is without zstd.
    package init?(name: String) {
        let parts = name.split(separator: "/", omittingEmptySubsequences: false)
        guard let head = parts.first, parts.count <= 2 else { return nil }
        let option = parts.dropFirst().first
        if let format = BlockFormat(rawValue: String(head)) {
            guard option == nil || option == "plain" else { return nil }
            self = .dense(format, isCompressed: option == nil)
        } else if head == "topk" {
            guard let kept = option.map({ Int($0) }) ?? 64,
                kept >= 1, kept <= TopKSelection.chunkCount
            else { return nil }
            self = .topK(kept: kept)
        } else if name == "raw" {
            self = .raw
        } else {
            return nil
        }
        guard self.name == name else { return nil }
    }

    package var name: String {
        switch self {
        case .raw: "raw"
        case .dense(let format, let isCompressed): format.rawValue + (isCompressed ? "" : "/plain")
        case .topK(64): "topk"
        case .topK(let kept): "topk/\(kept)"
        }
    }
}

extension Buffer where Element == UInt8 {
    /// A copy of `payload`, which is small beside what it stands for.
    fileprivate init(_ payload: ByteBuffer) {
        self.init(count: payload.readableBytes)
        copy(fromBytes: payload.readableBytesSpan)
    }
}

extension Feedback {
    /// `update` alone.
    init(_ update: Update, beta: Float = 1, residual: FloatBuffer? = nil) {
        switch update {
        case .gradient(let gradients):
            self.init(beta: beta, residual: residual, anchor: gradients)
        case .pseudoGradient(let difference):
            self.init(
                beta: beta, residual: residual, anchor: difference.anchor, local: difference.local)
        }
    }
}
