internal import Tensors

/// Payloads in which every parameter has its bits: two planes a segment, behind zstd where that
/// gains.
///
/// A segment of as many bytes as its planes have is those; a shorter one is a frame of zstd that
/// must become exactly as many; a longer one is none.
struct DensePayload: Sendable {
    let format: BlockFormat

    /// Parameters that are worked on at a time, so that they stay in a core's cache.
    private static let pieceCount = 1 << 14

    var codec: UInt8 {
        switch format {
        case .bf16: 1
        case .int8: 2
        case .int4: 3
        case .fp4: 4
        }
    }

    func encode(
        _ feedback: Feedback, isCompressed: Bool, next: FloatBuffer?
    ) throws(CodecError) -> [UInt8] {
        let segments = try SegmentTable.encode(count: feedback.count) { range in
            guard let planes = planes(of: feedback[range], next: next?[range]) else { return nil }
            return (isCompressed ? Zstandard.compress(planes) : nil) ?? planes.array
        }
        return SegmentTable.payload(codec: codec, kept: 0, count: feedback.count, segments)
    }

    func decode(_ payload: Buffer<UInt8>, count: Int, into sink: Sink) throws(CodecError) {
        let table = try payload.withBytes { bytes throws(CodecError) in
            try SegmentTable(of: bytes, codec: codec, kept: 0, count: count)
        }
        for (index, segment) in table.segments.enumerated() {
            let size = format.byteCount(of: SegmentTable.range(index, of: count).count)
            guard segment.count <= size else {
                throw CodecError(
                    .wrongLength, "segment \(index): \(segment.count) bytes, at most \(size)")
            }
        }
        try table.decode(payload) { bytes, range throws(CodecError) in
            let planes = Buffer<UInt8>(count: format.byteCount(of: range.count))
            if bytes.byteCount == planes.count {
                planes.copy(fromBytes: bytes)
            } else if !Zstandard.decompress(bytes, into: planes) {
                throw CodecError(
                    .malformed, "\(bytes.byteCount) bytes are no zstd of \(planes.count)")
            }
            try checkScales(planes, count: range.count)
            try read(planes, range, into: sink)
        }
    }

    /// The planes of `feedback`; `nil` if it can't be sent.
    private func planes(of feedback: Feedback, next: FloatBuffer?) -> Buffer<UInt8>? {
        let count = feedback.count
        let planes = Buffer<UInt8>(count: format.byteCount(of: count))
        let size = min(Self.pieceCount, count)
        let (values, sentValues) = (FloatBuffer(count: size), FloatBuffer(count: size))
        for first in stride(from: 0, to: count, by: Self.pieceCount) {
            let range = first..<min(first + Self.pieceCount, count)
            let x = values[0..<range.count]
            feedback[range].write(to: x)
            guard x.isModerate else { return nil }
            format.quantize(x, at: first, of: count, to: planes)
            guard let next else { continue }
            let sent = sentValues[0..<range.count]
            format.dequantize(planes, at: first, of: count, to: sent)
            Feedback(anchor: x, local: sent).write(to: next[range])
        }
        return planes
    }

    private func read(
        _ planes: Buffer<UInt8>, _ range: Range<Int>, into sink: Sink
    ) throws(CodecError) {
        let x = FloatBuffer(count: min(Self.pieceCount, range.count))
        for first in stride(from: 0, to: range.count, by: Self.pieceCount) {
            let piece = x[0..<min(Self.pieceCount, range.count - first)]
            format.dequantize(planes, at: first, of: range.count, to: piece)
            guard piece.allFinite else {
                throw CodecError(.notFinite, "the update holds numbers that are not finite")
            }
            sink.add(piece, at: range.lowerBound + first)
        }
    }

    /// An exponent of FP4 has room for six lower ones.
    private func checkScales(_ planes: Buffer<UInt8>, count: Int) throws(CodecError) {
        guard format == .fp4 else { return }
        for index in 0..<format.firstPlaneByteCount(of: count) {
            let scale = planes[index]
            guard scale == 0 || (27...254).contains(scale) else {
                throw CodecError(.malformed, "block \(index) has the exponent \(scale)")
            }
        }
    }
}
