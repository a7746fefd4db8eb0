/// A pattern as a list of instructions, and what they refer to.
///
/// Each instruction looks at the text at one position and goes on with the one behind it, or turns
/// back to the last place where something was left to try.
struct PatternProgram: Sendable {
    enum Instruction: Sendable, Equatable {
        /// Takes one scalar of the set.
        case scalar(set: Int)
        /// Takes as many scalars of the set as there are, up to `most`, and gives them back one by
        /// one, down to `least`, unless `keeps`.
        case run(set: Int, least: Int, most: Int, keeps: Bool)
        /// Goes on at the first branch of the choice that the next byte allows.
        case choose(Int)
        case jump(Int)
        /// Goes on if a scalar of the set comes next, or with `isNegative` if none does.
        case look(set: Int, isNegative: Bool)
        case lineEnd
        case match
    }

    /// The places at which the branches of a choice begin, and which of them each byte allows.
    struct Choice: Sendable {
        var branches: [Int] = []
        /// Bit b of word c says that branch b may begin with byte c; word 256 is for the end.
        var allowed = [UInt64](repeating: 0, count: 257)
    }

    /// A set without references of its own, for the speed of the matcher.
    struct Members: Sendable {
        let low: UInt64
        let high: UInt64
        let kinds: UInt64
        let ranges: Range<Int>
        let isNegated: Bool
    }

    /// Longest program, in instructions: repetitions in braces write their body out.
    static let instructionsMax = 20_000
    /// Most branches of one choice.
    static let branchesMax = 64

    private(set) var instructions: [Instruction] = []
    private(set) var choices: [Choice] = []
    private(set) var members: [Members] = []
    private(set) var ranges: [ClosedRange<UInt32>] = []
    /// The bytes with which a match may begin.
    private(set) var firstBytes: ByteSet
    /// The set of the run without upper bound that every match begins with, if it does.
    private(set) var leadingRun: Int?
    private var sets: [ScalarSet] = []

    init(_ node: PatternNode) throws(PatternError) {
        firstBytes = node.firstBytes
        try append(node, before: nil)
        instructions.append(.match)
        if case .run(let set, 1, PatternNode.unbounded, _) = instructions[0] { leadingRun = set }
        layOutSets()
    }

    private mutating func layOutSets() {
        for set in sets {
            let start = ranges.count
            ranges += set.ranges
            members.append(
                Members(
                    low: set.ascii.low, high: set.ascii.high, kinds: set.kinds,
                    ranges: start..<ranges.count, isNegated: set.isNegated))
        }
    }

    private mutating func index(of set: ScalarSet) -> Int {
        if let index = sets.firstIndex(of: set) { return index }
        sets.append(set)
        return sets.count - 1
    }

    private mutating func append(_ instruction: Instruction) throws(PatternError) {
        guard instructions.count < Self.instructionsMax else {
            throw PatternError(
                problem: "a program of more than \(Self.instructionsMax) steps", offset: 0)
        }
        instructions.append(instruction)
    }

    /// Appends the instructions of `node`, behind which `following` must match, if that is known.
    private mutating func append(
        _ node: PatternNode, before following: PatternNode?
    ) throws(PatternError) {
        switch node {
        case .set(let set): try append(.scalar(set: index(of: set)))
        case .sequence(let nodes):
            for (place, node) in nodes.enumerated() {
                try append(node, before: place + 1 < nodes.count ? nodes[place + 1] : following)
            }
        case .choice(let nodes): try appendChoice(nodes, before: following)
        case .lookahead(let set, let isNegative):
            try append(.look(set: index(of: set), isNegative: isNegative))
        case .lineEnd: try append(.lineEnd)
        case .repetition(.set(let set), let count, let isPossessive):
            let keeps = isPossessive || Self.givesBackInVain(set, before: following)
            try append(
                .run(
                    set: index(of: set), least: count.lowerBound, most: count.upperBound,
                    keeps: keeps))
        case .repetition(let body, let count, _): try appendLoop(body, count)
        }
    }

    /// Whether what follows can't begin with a scalar of `set`, so that a shorter run never helps.
    private static func givesBackInVain(
        _ set: ScalarSet, before following: PatternNode?
    ) -> Bool {
        switch following {
        case .set(let other): set.isDisjoint(with: other)
        case .repetition(.set(let other), let count, _):
            count.lowerBound > 0 && set.isDisjoint(with: other)
        default: false
        }
    }

    private mutating func appendChoice(
        _ nodes: [PatternNode], before following: PatternNode?
    ) throws(PatternError) {
        guard nodes.count <= Self.branchesMax else {
            throw PatternError(problem: "more than \(Self.branchesMax) alternatives", offset: 0)
        }
        let choice = choices.count
        choices.append(Choice())
        try append(.choose(choice))
        var ends: [Int] = []
        for (branch, node) in nodes.enumerated() {
            choices[choice].branches.append(instructions.count)
            allow(branch, of: choice, beginning: node)
            try append(node, before: following)
            ends.append(instructions.count)
            try append(.jump(0))
        }
        for end in ends { instructions[end] = .jump(instructions.count) }
    }

    private mutating func allow(_ branch: Int, of choice: Int, beginning node: PatternNode) {
        let bytes = node.firstBytes
        for byte in UInt8.min...UInt8.max where bytes.contains(byte) {
            choices[choice].allowed[Int(byte)] |= 1 << UInt64(branch)
        }
        if node.mayBeEmpty { choices[choice].allowed[256] |= 1 << UInt64(branch) }
    }

    /// The body as often as it must come, then, if without bound, a loop of choices; else as many
    /// choices as it may come more, each inside the one before.
    private mutating func appendLoop(
        _ body: PatternNode, _ count: ClosedRange<Int>
    ) throws(PatternError) {
        for _ in 0..<count.lowerBound { try append(body, before: nil) }
        if count.upperBound == PatternNode.unbounded {
            let start = instructions.count
            try appendOption(body) { (program) throws(PatternError) in
                try program.append(.jump(start))
            }
        } else {
            try appendOptions(body, count.upperBound - count.lowerBound)
        }
    }

    private mutating func appendOptions(
        _ body: PatternNode, _ count: Int
    ) throws(PatternError) {
        // A choice inside a choice for each: no deeper than counts in braces may be.
        var open: [Int] = []
        for _ in 0..<count {
            open.append(choices.count)
            try beginOption(body)
            try append(body, before: nil)
        }
        for choice in open { choices[choice].branches.append(instructions.count) }
    }

    private mutating func appendOption(
        _ body: PatternNode, then end: (inout PatternProgram) throws(PatternError) -> Void
    ) throws(PatternError) {
        let choice = choices.count
        try beginOption(body)
        try append(body, before: nil)
        try end(&self)
        choices[choice].branches.append(instructions.count)
    }

    /// A choice between `body`, which comes next, and nothing, whose place is still to be given.
    private mutating func beginOption(_ body: PatternNode) throws(PatternError) {
        let choice = choices.count
        choices.append(Choice())
        try append(.choose(choice))
        choices[choice].branches.append(instructions.count)
        allow(0, of: choice, beginning: body)
        allow(1, of: choice, beginning: .sequence([]))
    }
}
