/// A set of byte strings, each known by its number: the order in which it was inserted.
///
/// Open addressing with a bound on how far it looks, so that strings chosen to collide cost little:
/// where the bound is hit, the caller is told and decides.
struct ByteTable: Sendable {
    /// Slots looked at for one string: ten times what half-filled tables of honest strings need.
    static let probesMax = 512

    /// Number + 1 of the string that lies in each slot, or 0; a power of two of them.
    private var slots: [Int32]
    private var hashes: [UInt64] = []
    private var keys: [UInt8] = []
    /// Where string n begins in `keys`; one more for the end of the last.
    private var starts: [Int] = [0]

    init(capacity: Int) {
        var count = 16
        while count < 2 * capacity { count *= 2 }
        slots = [Int32](repeating: 0, count: count)
    }

    var count: Int { hashes.count }

    /// Forgets all strings, and keeps the memory.
    mutating func removeAll() {
        for index in slots.indices { slots[index] = 0 }
        hashes.removeAll(keepingCapacity: true)
        keys.removeAll(keepingCapacity: true)
        starts.removeAll(keepingCapacity: true)
        starts.append(0)
    }

    /// String number `number`.
    subscript(number: Int) -> ArraySlice<UInt8> { keys[starts[number]..<starts[number + 1]] }

    @inline(__always)
    static func hash(_ bytes: [UInt8], _ range: Range<Int>) -> UInt64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for index in range { hash = (hash ^ UInt64(bytes[index])) &* 0x100_0000_01b3 }
        return (hash ^ (hash >> 32)) &* 0x9e37_79b9_7f4a_7c15
    }

    /// The number of the string in `range` of `bytes`, whose hash is `hash`.
    @inline(__always)
    func number(of bytes: [UInt8], _ range: Range<Int>, hash: UInt64) -> Int? {
        let mask = slots.count - 1
        var slot = Int(truncatingIfNeeded: hash >> 32) & mask
        for _ in 0..<Self.probesMax {
            let number = Int(slots[slot]) - 1
            if number < 0 { return nil }
            if hashes[number] == hash, isEqual(number, bytes, range) { return number }
            slot = (slot + 1) & mask
        }
        return nil
    }

    func number(of bytes: [UInt8]) -> Int? {
        let range = bytes.startIndex..<bytes.endIndex
        return number(of: bytes, range, hash: Self.hash(bytes, range))
    }

    @inline(__always)
    private func isEqual(_ number: Int, _ bytes: [UInt8], _ range: Range<Int>) -> Bool {
        let start = starts[number]
        guard starts[number + 1] - start == range.count else { return false }
        var offset = 0
        while offset < range.count {
            if keys[start + offset] != bytes[range.lowerBound + offset] { return false }
            offset += 1
        }
        return true
    }

    /// Inserts a string that is not in the table, and returns whether it could: not where too many
    /// collide.
    mutating func insert(_ bytes: [UInt8], _ range: Range<Int>, hash: UInt64) -> Bool {
        if 2 * (count + 1) > slots.count { grow() }
        guard place(count, hash) else { return false }
        hashes.append(hash)
        keys.append(contentsOf: bytes[range])
        starts.append(keys.count)
        return true
    }

    mutating func insert(_ bytes: [UInt8]) -> Bool {
        insert(bytes, 0..<bytes.count, hash: Self.hash(bytes, 0..<bytes.count))
    }

    private mutating func place(_ number: Int, _ hash: UInt64) -> Bool {
        let mask = slots.count - 1
        var slot = Int(truncatingIfNeeded: hash >> 32) & mask
        for _ in 0..<Self.probesMax {
            if slots[slot] == 0 {
                slots[slot] = Int32(number + 1)
                return true
            }
            slot = (slot + 1) & mask
        }
        return false
    }

    private mutating func grow() {
        slots = [Int32](repeating: 0, count: 2 * slots.count)
        // What fitted before fits now, save for strings made to collide: those are looked up in
        // vain from here on.
        for (number, hash) in hashes.enumerated() { _ = place(number, hash) }
    }
}

/// Which pairs of tokens merge, how early, and to what.
struct PairTable: Sendable {
    /// What a pair becomes: `rank`, below which merges come first, and the token.
    struct Merge: Equatable {
        let rank: UInt32
        let token: Int32
    }

    /// Left token in the upper half, right one in the lower; all ones where there is none.
    private var keys: [UInt64]
    private var merges: [UInt64]
    private static let empty = UInt64.max

    init(capacity: Int) {
        var count = 16
        while count < 2 * capacity { count *= 2 }
        keys = [UInt64](repeating: Self.empty, count: count)
        merges = [UInt64](repeating: 0, count: count)
    }

    @inline(__always)
    private static func key(_ left: Int32, _ right: Int32) -> UInt64 {
        UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
    }

    @inline(__always)
    private func slot(_ key: UInt64) -> Int {
        var hash = key &* 0x9e37_79b9_7f4a_7c15
        hash ^= hash >> 29
        hash = hash &* 0xbf58_476d_1ce4_e5b9
        return Int(truncatingIfNeeded: hash >> 32) & (keys.count - 1)
    }

    @inline(__always)
    subscript(left: Int32, right: Int32) -> Merge? {
        let key = Self.key(left, right)
        var slot = slot(key)
        for _ in 0..<ByteTable.probesMax {
            let found = keys[slot]
            if found == key {
                let merge = merges[slot]
                return Merge(
                    rank: UInt32(truncatingIfNeeded: merge >> 32),
                    token: Int32(bitPattern: UInt32(truncatingIfNeeded: merge)))
            }
            if found == Self.empty { return nil }
            slot = (slot + 1) & (keys.count - 1)
        }
        return nil
    }

    /// Lets the pair merge so, and no longer as it did; false where too many pairs collide.
    mutating func insert(_ left: Int32, _ right: Int32, _ merge: Merge) -> Bool {
        let key = Self.key(left, right)
        var slot = slot(key)
        for _ in 0..<ByteTable.probesMax {
            if keys[slot] == Self.empty || keys[slot] == key {
                keys[slot] = key
                merges[slot] = UInt64(merge.rank) << 32 | UInt64(UInt32(bitPattern: merge.token))
                return true
            }
            slot = (slot + 1) & (keys.count - 1)
        }
        return false
    }
}
