internal import Tensors

/// What stands before every payload but `raw`: which codec, how many parameters, and where its
/// segments are.
///
///     0  version, 1
///     1  codec: 1 bf16, 2 int8, 3 int4, 4 fp4, 5 topk
///     2  kept numbers of a chunk (16 bits); 0 if not topk
///     4  parameters (32 bits)
///     8  bytes of each segment (32 bits each)
///
/// A segment has 2^20 parameters, the last one fewer. Each is coded by itself, so that any number
/// of threads codes them, to the same bytes.
struct SegmentTable: Sendable {
    static let version: UInt8 = 1
    static let headByteCount = 8
    /// Parameters of a segment.
    static let segmentCount = 1 << 20

    let codec: UInt8
    let kept: Int
    /// Parameters in all.
    let count: Int
    /// Where in the payload each segment is.
    let segments: [Range<Int>]

    /// Joins coded `segments` behind their table.
    static func payload(codec: UInt8, kept: Int, count: Int, _ segments: [[UInt8]]) -> [UInt8] {
        precondition(count <= Int(UInt32.max) && segments.count == segmentsOf(count))
        var bytes: [UInt8] = []
        bytes.reserveCapacity(
            segments.reduce(headByteCount + 4 * segments.count) { $0 + $1.count })
        func append(_ value: Int, bytes count: Int) {
            for index in 0..<count { bytes.append(UInt8(truncatingIfNeeded: value >> (8 * index))) }
        }
        append(Int(version), bytes: 1)
        append(Int(codec), bytes: 1)
        append(kept, bytes: 2)
        append(count, bytes: 4)
        for segment in segments { append(segment.count, bytes: 4) }
        for segment in segments { bytes += segment }
        return bytes
    }

    /// Reads and checks the table of a payload that should be of `codec` and have `count`
    /// parameters; takes no memory but that of the segments' places.
    init(
        of bytes: RawSpan, codec: UInt8, kept: Int, count: Int
    ) throws(CodecError) {
        self.codec = codec
        self.kept = kept
        self.count = count
        let number = Self.segmentsOf(count)
        let tableByteCount = Self.headByteCount + 4 * number
        guard bytes.byteCount >= tableByteCount else {
            throw CodecError(
                .wrongLength, "\(bytes.byteCount) bytes instead of a table of \(tableByteCount)")
        }
        let found = (
            bytes.byte(0), bytes.byte(1), bytes.integer(2, bytes: 2), bytes.integer(4, bytes: 4)
        )
        guard found == (Self.version, codec, kept, count) else {
            throw CodecError(
                .mismatch,
                "version \(found.0), codec \(found.1), \(found.2) kept, \(found.3) parameters"
                    + " instead of \(Self.version), \(codec), \(kept), \(count)")
        }
        var segments: [Range<Int>] = []
        segments.reserveCapacity(number)
        var end = tableByteCount
        for index in 0..<number {
            let length = bytes.integer(Self.headByteCount + 4 * index, bytes: 4)
            segments.append(end..<end + length)
            end += length
        }
        guard end == bytes.byteCount else {
            throw CodecError(.wrongLength, "\(bytes.byteCount) bytes instead of \(end)")
        }
        self.segments = segments
    }

    /// The parameters of segment `index` of `count`.
    static func range(_ index: Int, of count: Int) -> Range<Int> {
        index * segmentCount..<min((index + 1) * segmentCount, count)
    }

    static func segmentsOf(_ count: Int) -> Int { (count + segmentCount - 1) / segmentCount }

    /// Codes the segments of `count` parameters, on all threads.
    ///
    /// `nil` of a segment means that it holds numbers that can't be sent.
    static func encode(
        count: Int, _ body: @Sendable (Range<Int>) -> [UInt8]?
    ) throws(CodecError) -> [[UInt8]] {
        let segments = KernelThreads.map(segmentsOf(count)) { body(range($0, of: count)) }
        let coded = segments.compactMap(\.self)
        guard coded.count == segments.count else { throw .immoderate }
        return coded
    }

    /// Has `body` read each segment's bytes and parameters, on all threads; throws the first error.
    func decode(
        _ payload: Buffer<UInt8>, _ body: @Sendable (RawSpan, Range<Int>) throws(CodecError) -> Void
    ) throws(CodecError) {
        let errors = KernelThreads.map(segments.count) { index -> CodecError? in
            do throws(CodecError) {
                try payload[segments[index]].withBytes { bytes throws(CodecError) in
                    try body(bytes, Self.range(index, of: count))
                }
                return nil
            } catch { return error }
        }
        if let error = errors.compactMap(\.self).first { throw error }
    }
}

extension RawSpan {
    /// The little-endian number of `count` bytes at `index`, at most 4.
    func integer(_ index: Int, bytes count: Int) -> Int {
        (0..<count).reduce(0) { $0 | Int(byte(index + $1)) << (8 * $1) }
    }
}

extension CodecError {
    static let immoderate = CodecError(
        .notFinite, "the update holds numbers that are not finite, or 2^126 or larger")
}
