/// A split pattern of a tokenizer: a small regular expression over UTF-8.
///
/// It finds what Oniguruma, by which the `tokenizers` library splits, finds: the leftmost match,
/// and of those the one of the first alternative, each repetition as long as it can be. It turns
/// back where it must, and how often is bounded.
package struct Pattern: Sendable {
    /// Most instructions per byte of text: real patterns need fewer than ten.
    package static let stepsPerByteMax = 1_000

    /// Most places to turn back to that are remembered: real patterns leave fewer than ten.
    package static let untriedMax = 1 << 20

    /// The pattern as it was written.
    package let source: String
    private let program: PatternProgram
    private let table = ScalarKindTable.shared

    /// Compiles `source`.
    ///
    /// Throws ``PatternError`` for syntax that is wrong or not read here, and for a pattern that
    /// may match nothing at all.
    init(_ source: String) throws(PatternError) {
        try self.init(source: source, node: try PatternParser.parse(source))
    }

    init(source: String, node: PatternNode) throws(PatternError) {
        self.source = source
        guard !node.mayBeEmpty else {
            throw PatternError(problem: "it may match nothing", offset: 0)
        }
        program = try PatternProgram(node)
    }

    /// What is left of a matcher's patience, and its memory.
    struct Effort {
        fileprivate var steps = 0
        fileprivate var stepsMax = 0
        fileprivate var untried: [Untried] = []

        fileprivate mutating func append(_ place: Untried) {
            if untried.count < Pattern.untriedMax {
                untried.append(place)
            } else {
                steps = .max / 2
            }
        }

        /// Begins searches through `byteCount` bytes in all.
        mutating func restart(byteCount: Int) {
            steps = 0
            stepsMax = Pattern.stepsPerByteMax * (byteCount + Pattern.stepsPerByteMax)
        }

        /// Whether a search was given up.
        var isExhausted: Bool { steps > stepsMax }
    }

    /// A place to turn back to.
    fileprivate struct Untried {
        let instruction: Int
        var position: Int
        /// Of a run, where it may not be shortened below; of a choice, the branches not tried.
        var rest: UInt64
        let isChoice: Bool
    }

    /// The next match in `range` of `bytes`, which hold UTF-8 and are looked at there only.
    ///
    /// `nil` where there is none, or where `effort` is exhausted.
    func firstMatch(
        in bytes: [UInt8], _ range: Range<Int>, _ effort: inout Effort
    ) -> Range<Int>? {
        var start = range.lowerBound
        let end = range.upperBound
        while start < end {
            if program.firstBytes.contains(bytes[start]) {
                if let stop = matchEnd(in: bytes, from: start, to: end, &effort) {
                    return start..<stop
                }
                if effort.isExhausted { return nil }
                if let set = program.leadingRun {
                    // No end of the run leads to a match, so none does from inside the run either.
                    while start < end {
                        let length = self.length(in: bytes, start, end, set)
                        guard length > 0 else { break }
                        start += length
                        effort.steps += 1
                    }
                    if start == end { break }
                }
            }
            start += Self.scalarLength(bytes[start])
            effort.steps += 1
        }
        return nil
    }

    /// Where the match that begins at `start` ends.
    private func matchEnd(
        in bytes: [UInt8], from start: Int, to end: Int, _ effort: inout Effort
    ) -> Int? {
        effort.untried.removeAll(keepingCapacity: true)
        var position = start
        var instruction = 0
        while true {
            effort.steps += 1
            var isStuck = false
            switch program.instructions[instruction] {
            case .match: return effort.isExhausted ? nil : position
            case .scalar(let set):
                let length = self.length(in: bytes, position, end, set)
                isStuck = length == 0
                position += length
                instruction += 1
            case .run(let set, let least, let most, let keeps):
                isStuck = !run(
                    in: bytes, &position, end, set, (least, most), keeps, instruction, &effort)
                instruction += 1
            case .choose(let choice):
                let next = position < end ? Int(bytes[position]) : 256
                let branches = program.choices[choice].allowed[next]
                isStuck = branches == 0
                if !isStuck {
                    instruction = self.branch(
                        choice, branches, instruction, position, &effort)
                }
            case .jump(let target): instruction = target
            case .look(let set, let isNegative):
                isStuck = (length(in: bytes, position, end, set) > 0) == isNegative
                instruction += 1
            case .lineEnd:
                isStuck = position < end && bytes[position] != UInt8(ascii: "\n")
                instruction += 1
            }
            guard isStuck else { continue }
            guard !effort.isExhausted else { return nil }
            guard turnBack(in: bytes, &position, &instruction, &effort) else { return nil }
        }
    }

    /// Takes a run; false where it is too short.
    @inline(__always)
    private func run(
        in bytes: [UInt8], _ position: inout Int, _ end: Int, _ set: Int,
        _ count: (least: Int, most: Int), _ keeps: Bool, _ instruction: Int,
        _ effort: inout Effort
    ) -> Bool {
        var taken = 0
        var floor = position
        while taken < count.most {
            let length = self.length(in: bytes, position, end, set)
            guard length > 0 else { break }
            position += length
            taken += 1
            if taken == count.least { floor = position }
        }
        effort.steps += taken
        guard taken >= count.least else { return false }
        if taken > count.least, !keeps, program.instructions[instruction + 1] != .match {
            effort.append(
                Untried(
                    instruction: instruction + 1, position: position, rest: UInt64(floor),
                    isChoice: false))
        }
        return true
    }

    /// The place of the first of `branches`, the others left for later.
    @inline(__always)
    private func branch(
        _ choice: Int, _ branches: UInt64, _ instruction: Int, _ position: Int,
        _ effort: inout Effort
    ) -> Int {
        let first = branches.trailingZeroBitCount
        let rest = branches & (branches - 1)
        if rest != 0 {
            effort.append(
                Untried(instruction: instruction, position: position, rest: rest, isChoice: true))
        }
        return program.choices[choice].branches[first]
    }

    /// Goes back to the last place with something left to try; false where there is none.
    private func turnBack(
        in bytes: [UInt8], _ position: inout Int, _ instruction: inout Int,
        _ effort: inout Effort
    ) -> Bool {
        guard var last = effort.untried.popLast() else { return false }
        if last.isChoice, case .choose(let choice) = program.instructions[last.instruction] {
            position = last.position
            instruction = branch(choice, last.rest, last.instruction, position, &effort)
            return true
        }
        repeat { last.position -= 1 } while bytes[last.position] & 0xc0 == 0x80
        if last.position > Int(last.rest) { effort.append(last) }
        position = last.position
        instruction = last.instruction
        return true
    }

    /// Bytes of the scalar at `position`, if it belongs to the set; else 0.
    @inline(__always)
    private func length(in bytes: [UInt8], _ position: Int, _ end: Int, _ set: Int) -> Int {
        guard position < end else { return 0 }
        let byte = bytes[position]
        let members = program.members[set]
        if byte < 0x80 {
            let word = byte < 64 ? members.low : members.high
            return Int(word >> UInt64(byte & 63) & 1)
        }
        let (value, length) = Self.scalar(in: bytes, position, end)
        var isMember = members.kinds >> UInt64(table.rawKind(of: value)) & 1 != 0
        if !isMember, !members.ranges.isEmpty {
            isMember = program.ranges[members.ranges].contains { $0.contains(value) }
        }
        return isMember != members.isNegated ? length : 0
    }

    /// The scalar beyond ASCII at `position`, and its bytes.
    @inline(__always)
    private static func scalar(
        in bytes: [UInt8], _ position: Int, _ end: Int
    ) -> (value: UInt32, length: Int) {
        let lead = UInt32(bytes[position])
        let length = min(scalarLength(bytes[position]), end - position)
        func next(_ offset: Int) -> UInt32 { UInt32(bytes[position + offset] & 0x3f) }
        switch length {
        case 2: return ((lead & 0x1f) << 6 | next(1), 2)
        case 3: return ((lead & 0x0f) << 12 | next(1) << 6 | next(2), 3)
        case 4:
            let value = (lead & 0x07) << 18 | next(1) << 12 | next(2) << 6 | next(3)
            return (min(value, 0x10ffff), 4)
        default: return (0xfffd, 1)
        }
    }

    /// Bytes of the scalar that begins with `byte`.
    @inline(__always)
    static func scalarLength(_ byte: UInt8) -> Int {
        byte < 0xc0 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4
    }
}
