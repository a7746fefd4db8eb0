/// Reads the parts of a tokenizer out of its `tokenizer.json`.
///
/// Everything that would change an id or a letter is either obeyed or refused by name.
struct TokenizerReader {
    private let document: TokenizerMember

    init(parsing bytes: [UInt8], path: String) throws(StorageError) {
        do throws(JSONSyntaxError) {
            document = TokenizerMember(file: path, place: "", json: try JSON(parsing: bytes))
        } catch {
            throw StorageError(.corrupt, "\(path) is no JSON document", cause: error)
        }
        guard document.json.members != nil, document["model"].json.members != nil else {
            throw StorageError(.corrupt, "\(path) is no tokenizer: it has no model")
        }
    }

    func read() throws(StorageError) -> Tokenizer.Parts {
        try document.allow(
            "version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer",
            "post_processor", "decoder", "model")
        for name in ["truncation", "padding"] where !document[name].isNull {
            throw document[name].unread()
        }
        var splitter: [SplitStep] = []
        let isByteLevel = try readSplitter(document["pre_tokenizer"], into: &splitter)
        let contents = try readModel(document["model"])
        var parts = Tokenizer.Parts(model: try model(contents, isByteLevel: isByteLevel))
        parts.splitter = splitter
        try readNormalizer(document["normalizer"], into: &parts.normalizer)
        try readDecoder(document["decoder"], into: &parts.decoder)
        parts.addedTokens = try readAddedTokens(document["added_tokens"], parts.model)
        try readTemplate(document["post_processor"], &parts)
        return parts
    }

    // MARK: The model

    private func readModel(
        _ model: TokenizerMember
    ) throws(StorageError) -> BytePairModel.Contents {
        guard model["type"].isNull || model["type"].json == "BPE" else {
            throw model["type"].unread()
        }
        try model.allow(
            "type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix",
            "fuse_unk", "byte_fallback", "ignore_merges", "vocab", "merges")
        guard model["dropout"].isNull else { throw model["dropout"].unread() }
        for name in ["continuing_subword_prefix", "end_of_word_suffix"] {
            guard model[name].isNull || model[name].json == "" else { throw model[name].unread() }
        }
        var contents = BytePairModel.Contents()
        contents.vocabulary = try readVocabulary(model["vocab"])
        contents.merges = try readMerges(model["merges"])
        if !model["unk_token"].isNull { contents.unknownToken = try model["unk_token"].bytes() }
        contents.fusesUnknown = try model["fuse_unk"].flag(absent: false)
        contents.fallsBackToBytes = try model["byte_fallback"].flag(absent: false)
        contents.ignoresMerges = try model["ignore_merges"].flag(absent: false)
        return contents
    }

    private func model(
        _ contents: BytePairModel.Contents, isByteLevel: Bool
    ) throws(StorageError) -> BytePairModel {
        do throws(BytePairModel.Flaw) {
            return try BytePairModel(contents, isByteLevel: isByteLevel)
        } catch {
            throw document["model"][error.member].corrupt(error.problem)
        }
    }

    private func readVocabulary(
        _ vocabulary: TokenizerMember
    ) throws(StorageError) -> [(token: [UInt8], id: Int32)] {
        guard let members = vocabulary.json.members else {
            throw vocabulary.corrupt("is no object")
        }
        guard members.count <= Tokenizer.vocabularyMax else {
            throw vocabulary.unsupported(
                "has \(members.count) tokens, more than the limit of \(Tokenizer.vocabularyMax)")
        }
        var tokens: [(token: [UInt8], id: Int32)] = []
        tokens.reserveCapacity(members.count)
        var taken: Set<Int32> = []
        for member in members {
            let bytes = Array(member.name.utf8)
            try checkLength(bytes, vocabulary)
            guard let id = member.value.integer, (0..<Tokenizer.vocabularyMax).contains(id),
                taken.insert(Int32(id)).inserted
            else {
                throw vocabulary.corrupt(
                    "gives \"\(member.name)\" an id that is taken or not one of 0 to"
                        + " \(Tokenizer.vocabularyMax - 1)")
            }
            tokens.append((bytes, Int32(id)))
        }
        return tokens
    }

    private func checkLength(_ token: [UInt8], _ place: TokenizerMember) throws(StorageError) {
        guard token.count <= Tokenizer.tokenBytesMax else {
            throw place.unsupported(
                "has a token of \(token.count) bytes, more than the limit of"
                    + " \(Tokenizer.tokenBytesMax)")
        }
    }

    /// Merges as pairs, or as older files have them, with a space between.
    private func readMerges(
        _ merges: TokenizerMember
    ) throws(StorageError) -> [(left: [UInt8], right: [UInt8])] {
        guard let values = merges.json.array else { throw merges.corrupt("is no array") }
        guard values.count <= Tokenizer.mergesMax else {
            throw merges.unsupported(
                "has \(values.count) merges, more than the limit of \(Tokenizer.mergesMax)")
        }
        var pairs: [(left: [UInt8], right: [UInt8])] = []
        pairs.reserveCapacity(values.count)
        for (index, value) in values.enumerated() {
            var sides: [[UInt8]] = []
            if let text = value.string {
                sides = text.utf8.split(
                    separator: UInt8(ascii: " "), omittingEmptySubsequences: false
                )
                .map { Array($0) }
            } else if let pair = value.array {
                sides = pair.compactMap { $0.string.map { Array($0.utf8) } }
            }
            guard sides.count == 2, value.array?.count ?? 2 == 2 else {
                throw merges.corrupt("has no pair of tokens as number \(index)")
            }
            pairs.append((sides[0], sides[1]))
        }
        return pairs
    }

    // MARK: Added tokens

    private func readAddedTokens(
        _ list: TokenizerMember, _ model: BytePairModel
    ) throws(StorageError) -> [AddedToken] {
        guard !list.isNull else { return [] }
        var tokens: [AddedToken] = []
        var taken = Set(model.ids)
        var contents: Set<[UInt8]> = []
        for member in try list.elements(Tokenizer.addedTokensMax) {
            try member.allow(
                "id", "content", "single_word", "lstrip", "rstrip", "normalized", "special")
            let content = try member["content"].bytes()
            try checkLength(content, list)
            let id = Int32(try member["id"].number(0...Tokenizer.vocabularyMax - 1))
            guard !content.isEmpty, contents.insert(content).inserted else {
                throw member["content"].corrupt("is empty, or added twice")
            }
            // The library numbers tokens anew where these do not hold; files in use hold to them.
            if let own = model.id(of: content) {
                guard own == id else {
                    throw member["id"].corrupt("is \(id), and \(own) in the vocabulary")
                }
            } else {
                guard taken.insert(id).inserted else {
                    throw member["id"].corrupt("is \(id), which another token has")
                }
            }
            tokens.append(
                AddedToken(
                    id: id, content: content,
                    isSingleWord: try member["single_word"].flag(absent: false),
                    stripsLeft: try member["lstrip"].flag(absent: false),
                    stripsRight: try member["rstrip"].flag(absent: false),
                    isNormalized: try member["normalized"].flag(absent: false),
                    isSpecial: try member["special"].flag(absent: false)))
        }
        return tokens
    }

    // MARK: The template

    private func readTemplate(
        _ processor: TokenizerMember, _ parts: inout Tokenizer.Parts
    ) throws(StorageError) {
        guard !processor.isNull else { return }
        switch processor["type"].json.string {
        // It moves offsets, which nobody asks for here.
        case "ByteLevel": break
        case "Sequence":
            try processor.allow("type", "processors")
            for inner in try processor["processors"].elements(Tokenizer.stepsMax) {
                guard inner["type"].json != "Sequence" else { throw inner["type"].unread() }
                try readTemplate(inner, &parts)
            }
        case "TemplateProcessing":
            try processor.allow("type", "single", "pair", "special_tokens")
            guard parts.template.before.isEmpty, parts.template.behind.isEmpty else {
                throw processor.unsupported("is a second template")
            }
            try readTemplate(of: processor, &parts)
        default: throw processor["type"].unread()
        }
    }

    private func readTemplate(
        of processor: TokenizerMember, _ parts: inout Tokenizer.Parts
    ) throws(StorageError) {
        var hasText = false
        for piece in try processor["single"].elements(Tokenizer.stepsMax) {
            try piece.allow("Sequence", "SpecialToken")
            if piece["SpecialToken"].isNull {
                guard piece["Sequence"]["id"].json == "A", !hasText else {
                    throw piece["Sequence"].unread()
                }
                hasText = true
                continue
            }
            let name = try piece["SpecialToken"]["id"].string()
            let ids = processor["special_tokens"][name]["ids"]
            for member in try ids.elements(Tokenizer.stepsMax) {
                let id = Int32(try member.number(0...Tokenizer.vocabularyMax - 1))
                // Nobody could look up any other.
                guard
                    parts.addedTokens.contains(where: { $0.id == id })
                        || parts.model.ids.contains(id)
                else { throw member.corrupt("is the id of no token") }
                if hasText {
                    parts.template.behind.append(id)
                } else {
                    parts.template.before.append(id)
                }
            }
        }
        guard hasText else { throw processor["single"].corrupt("has no place for the text") }
    }
}
