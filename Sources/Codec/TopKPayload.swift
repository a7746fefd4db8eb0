internal import Tensors

/// Payloads that have only the numbers of largest magnitude in each chunk of 4096.
///
/// A segment is one range-coded number. It says for each chunk its upper level, as the difference
/// to that of the chunk before (0 at first), and how far the lower one is below it; then, unless
/// the upper level is 0, for each kept number how many are left out before it, its sign, and which
/// level it has. Indices so can neither repeat nor descend.
struct TopKPayload: Sendable {
    let kept: Int

    static let codec: UInt8 = 5

    func encode(_ feedback: Feedback, next: FloatBuffer?) throws(CodecError) -> [UInt8] {
        let segments = try SegmentTable.encode(count: feedback.count) { range in
            TopKSelection(feedback[range], kept: kept, next: next?[range]).map {
                encode($0, count: range.count)
            }
        }
        return SegmentTable.payload(
            codec: Self.codec, kept: kept, count: feedback.count, segments)
    }

    func decode(_ payload: Buffer<UInt8>, count: Int, into sink: Sink) throws(CodecError) {
        let table = try payload.withBytes { bytes throws(CodecError) in
            try SegmentTable(of: bytes, codec: Self.codec, kept: kept, count: count)
        }
        try table.decode(payload) { bytes, range throws(CodecError) in
            try decode(bytes, range, into: sink)
        }
    }

    // MARK: Segments

    private func encode(_ selection: TopKSelection, count: Int) -> [UInt8] {
        var coder = RangeEncoder()
        var models = SelectionModels()
        var index = 0
        for chunk in 0..<selection.levels.count / 2 {
            let lower = Int(selection.levels[2 * chunk])
            let upper = Int(selection.levels[2 * chunk + 1])
            models.encode(lower: lower, upper: upper, to: &coder)
            let length = min(count - chunk * TopKSelection.chunkCount, TopKSelection.chunkCount)
            let end = index + TopKSelection.count(kept: kept, of: length)
            if upper == 0 { index = end }
            var before = -1
            while index < end {
                let position = Int(selection.positions[index])
                models.encode(
                    gap: position - before - 1, code: UInt32(selection.codes[index]), to: &coder)
                before = position
                index += 1
            }
        }
        return coder.finish()
    }

    private func decode(
        _ bytes: RawSpan, _ range: Range<Int>, into sink: Sink
    ) throws(CodecError) {
        var coder = RangeDecoder(bytes)
        var models = SelectionModels()
        let chunkCount = TopKSelection.chunkCount
        for first in stride(from: range.lowerBound, to: range.upperBound, by: chunkCount) {
            let length = min(range.upperBound - first, chunkCount)
            guard let (lower, upper) = models.decodeLevels(from: &coder, bytes) else {
                throw CodecError(.malformed, "a level that is none, near parameter \(first)")
            }
            let levels = (TopKSelection.level(lower), TopKSelection.level(upper))
            var left = upper == 0 ? 0 : TopKSelection.count(kept: kept, of: length)
            var position = -1
            while left > 0 {
                left -= 1
                let (gap, code) = models.decodeNumber(from: &coder, bytes)
                position += gap + 1
                guard position + left < length else {
                    throw CodecError(.malformed, "an index beyond the chunk at \(first)")
                }
                let magnitude = code & 2 == 0 ? levels.0 : levels.1
                sink.add(code & 1 == 0 ? magnitude : -magnitude, at: first + position)
            }
            guard coder.isSound(bytes) else {
                throw CodecError(.malformed, "the segment ends near parameter \(first)")
            }
        }
        guard coder.isFinished(bytes) else {
            throw CodecError(.malformed, "bytes behind the segment's last parameter")
        }
    }
}

/// What is learnt about a segment's chunks.
private struct SelectionModels: Sendable {
    private var upper = IntegerModel()
    private var lower = IntegerModel()
    /// Given the width of the gap before.
    private var gaps = IntegerModel(contexts: 16)
    /// Given the sign before.
    private var signs = [AdaptiveBit](repeating: AdaptiveBit(), count: 2)
    /// Given the level before.
    private var choices = [AdaptiveBit](repeating: AdaptiveBit(), count: 2)

    private var upperBefore = 0
    private var gapWidth = 0
    private var codeBefore = 0

    mutating func encode(lower: Int, upper: Int, to coder: inout RangeEncoder) {
        let step = upper - upperBefore
        self.upper.encode(step < 0 ? -2 * step - 1 : 2 * step, to: &coder)
        self.lower.encode(upper - lower, to: &coder)
        upperBefore = upper
    }

    /// `nil` if they are no levels, or the lower one is above the upper one.
    mutating func decodeLevels(
        from coder: inout RangeDecoder, _ bytes: RawSpan
    ) -> (lower: UInt16, upper: UInt16)? {
        let step = upper.decode(from: &coder, bytes)
        upperBefore += step % 2 == 0 ? step / 2 : -(step / 2) - 1
        let lower = upperBefore - self.lower.decode(from: &coder, bytes)
        guard lower >= 0, upperBefore < TopKSelection.levelEnd else { return nil }
        return (UInt16(lower), UInt16(upperBefore))
    }

    mutating func encode(gap: Int, code: UInt32, to coder: inout RangeEncoder) {
        gaps.encode(gap, context: gapWidth, to: &coder)
        coder.encode(code & 1, &signs[codeBefore & 1])
        coder.encode(code >> 1, &choices[codeBefore >> 1])
        gapWidth = IntegerModel.width(of: gap)
        codeBefore = Int(code)
    }

    mutating func decodeNumber(
        from coder: inout RangeDecoder, _ bytes: RawSpan
    ) -> (gap: Int, code: UInt32) {
        let gap = gaps.decode(context: gapWidth, from: &coder, bytes)
        let sign = coder.decode(&signs[codeBefore & 1], bytes)
        let choice = coder.decode(&choices[codeBefore >> 1], bytes)
        gapWidth = IntegerModel.width(of: gap)
        codeBefore = Int(sign | choice << 1)
        return (gap, sign | choice << 1)
    }
}
