/// The steps of normalizer, splitter and decoder, as a file has them: one, or a sequence.
extension TokenizerReader {
    /// The steps of `member`: itself, or those in the member `list` of a sequence.
    private func steps(
        of member: TokenizerMember, _ list: String
    ) throws(StorageError) -> [TokenizerMember] {
        guard !member.isNull else { return [] }
        guard member["type"].json == "Sequence" else { return [member] }
        try member.allow("type", list)
        return try member[list].elements(Tokenizer.stepsMax)
    }

    func readNormalizer(
        _ member: TokenizerMember, into steps: inout [NormalizerStep]
    ) throws(StorageError) {
        for step in try self.steps(of: member, "normalizers") {
            switch step["type"].json.string {
            case "NFC":
                try step.allow("type")
                steps.append(.nfc)
            case "Prepend":
                try step.allow("type", "prepend")
                steps.append(.prepend(try step["prepend"].bytes()))
            case "Replace":
                try step.allow("type", "pattern", "content")
                steps.append(
                    .replace(try step["pattern"].literal(), by: try step["content"].bytes()))
            default: throw step["type"].unread()
            }
        }
    }

    /// Whether the words that come of it are spelled in the byte alphabet.
    func readSplitter(
        _ member: TokenizerMember, into steps: inout [SplitStep]
    ) throws(StorageError) -> Bool {
        var isByteLevel = false
        for step in try self.steps(of: member, "pretokenizers") {
            guard !isByteLevel else {
                throw step.unsupported("comes behind ByteLevel, which must be last")
            }
            switch step["type"].json.string {
            case "ByteLevel":
                try readByteLevel(step, into: &steps)
                isByteLevel = true
            case "Split":
                try step.allow("type", "pattern", "behavior", "invert")
                steps.append(
                    .pattern(
                        try step["pattern"].pattern(), try step["behavior"].choice(),
                        isInverted: try step["invert"].flag(absent: false)))
            case "Digits":
                try step.allow("type", "individual_digits")
                let individually = try step["individual_digits"].flag(absent: false)
                let digits = try built(step) { () throws(PatternError) in
                    try Pattern.digits(individually: individually)
                }
                steps.append(.pattern(digits, .isolated, isInverted: false))
            case "Metaspace":
                guard steps.isEmpty else { throw step.unsupported("must come first") }
                steps.append(try readMetaspace(step))
            default: throw step["type"].unread()
            }
        }
        return isByteLevel
    }

    private func built(
        _ member: TokenizerMember, _ build: () throws(PatternError) -> Pattern
    ) throws(StorageError) -> Pattern {
        do throws(PatternError) { return try build() } catch {
            throw member.unsupported("is a pattern that is not read here: \(error)")
        }
    }

    private func readByteLevel(
        _ step: TokenizerMember, into steps: inout [SplitStep]
    ) throws(StorageError) {
        try step.allow("type", "add_prefix_space", "trim_offsets", "use_regex")
        if try step["add_prefix_space"].flag(absent: true) { steps.append(.spacePrefix) }
        guard try step["use_regex"].flag(absent: true) else { return }
        let pattern = try built(step) { () throws(PatternError) in try Pattern(Pattern.gpt2) }
        steps.append(.pattern(pattern, .isolated, isInverted: false))
    }

    private func readMetaspace(_ step: TokenizerMember) throws(StorageError) -> SplitStep {
        let (replacement, scheme) = try readMetaspaceStyle(step)
        guard try step["split"].flag(absent: true) else {
            return .metaspace(replacement: replacement, scheme: scheme, cuts: nil)
        }
        let cuts = try built(step) { () throws(PatternError) in
            try Pattern(literal: String(decoding: replacement, as: UTF8.self))
        }
        return .metaspace(replacement: replacement, scheme: scheme, cuts: cuts)
    }

    private func readMetaspaceStyle(
        _ step: TokenizerMember
    ) throws(StorageError) -> (replacement: [UInt8], scheme: SplitStep.PrefixScheme) {
        try step.allow("type", "replacement", "prepend_scheme", "add_prefix_space", "split")
        let replacement = try step["replacement"].string()
        guard replacement.unicodeScalars.count == 1 else { throw step["replacement"].unread() }
        // Older files say by a flag what newer ones say by the scheme.
        let adds = try step["add_prefix_space"].flag(absent: true)
        let scheme: SplitStep.PrefixScheme =
            step["prepend_scheme"].isNull
            ? adds ? .always : .never : try step["prepend_scheme"].choice()
        guard adds || scheme == .never else { throw step["add_prefix_space"].unread() }
        return (Array(replacement.utf8), scheme)
    }

    func readDecoder(
        _ member: TokenizerMember, into steps: inout [DecoderStep]
    ) throws(StorageError) {
        guard !member.isNull else {
            steps = [.spaced]
            return
        }
        for step in try self.steps(of: member, "decoders") {
            let isFused = steps.contains(.fuse) || steps.contains(.byteLevel)
            switch step["type"].json.string {
            case "ByteLevel":
                try step.allow("type", "add_prefix_space", "trim_offsets", "use_regex")
                guard steps.isEmpty else { throw step.unsupported("must come first") }
                steps.append(.byteLevel)
            case "Replace" where !isFused:
                try step.allow("type", "pattern", "content")
                steps.append(
                    .replace(try step["pattern"].literal(), by: try step["content"].bytes()))
            case "ByteFallback" where !isFused && !steps.contains(.byteFallback):
                try step.allow("type")
                steps.append(.byteFallback)
            case "Metaspace" where steps.isEmpty:
                let (replacement, scheme) = try readMetaspaceStyle(step)
                steps.append(.metaspace(replacement: replacement, dropsFirst: scheme != .never))
            case "Fuse":
                try step.allow("type")
                steps.append(.fuse)
            case "Strip": steps.append(try readStrip(step, isFused: isFused, steps))
            default: throw step["type"].unread()
            }
        }
    }

    /// What is stripped of a text as a whole: from its start, once; its end is never known here.
    private func readStrip(
        _ step: TokenizerMember, isFused: Bool, _ steps: [DecoderStep]
    ) throws(StorageError) -> DecoderStep {
        try step.allow("type", "content", "start", "stop")
        let content = try step["content"].string()
        guard content.unicodeScalars.count == 1 else { throw step["content"].unread() }
        let start = try step["start"].number(0...Tokenizer.stepsMax)
        let stop = try step["stop"].number(0...Tokenizer.stepsMax)
        let isSecond = steps.contains { if case .strip = $0 { true } else { false } }
        guard !isFused || stop == 0 && !isSecond else { throw step["stop"].unread() }
        return .strip(content: Array(content.utf8), start: start, stop: stop)
    }
}
