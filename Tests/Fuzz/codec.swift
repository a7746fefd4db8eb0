import Tensors

/// Any bytes are refused as a payload of each codec, or say finite numbers, the same each time.
///
/// The first two bytes choose how many parameters are expected. Then come a table, and what follows
/// also behind a table that is right, which mutations alone would seldom hit.
func fuzz(_ bytes: [UInt8]) {
    guard bytes.count >= 2 else { return }
    let count = Int(bytes[0]) | Int(bytes[1]) << 8
    let rest = Array(bytes[2...])
    for format in BlockFormat.allCases {
        let payload = DensePayload(format: format)
        read(rest, count) { try payload.decode($0, count: count, into: $1) }
        let right = SegmentTable.payload(
            codec: payload.codec, kept: 0, count: count, count == 0 ? [] : [rest])
        read(right, count) { try payload.decode($0, count: count, into: $1) }
    }
    for kept in [1, 64, 4096] {
        let payload = TopKPayload(kept: kept)
        read(rest, count) { try payload.decode($0, count: count, into: $1) }
        let right = SegmentTable.payload(
            codec: TopKPayload.codec, kept: kept, count: count, count == 0 ? [] : [rest])
        read(right, count) { try payload.decode($0, count: count, into: $1) }
    }
}

private func read(
    _ bytes: [UInt8], _ count: Int, _ decode: (Buffer<UInt8>, Sink) throws -> Void
) {
    let payload = Buffer<UInt8>(bytes)
    let values = FloatBuffer(count: count)
    let isSound = (try? decode(payload, .nothing)) != nil
    let isAdded = (try? decode(payload, .values(values))) != nil
    precondition(isSound == isAdded, "once it is refused, once not")
    guard isSound else { return }
    precondition(values.allFinite, "a number that is not finite")
    let again = FloatBuffer(count: count)
    precondition((try? decode(payload, .values(again))) != nil, "the second time it is refused")
    precondition(again.array == values.array, "other numbers the second time")
}
