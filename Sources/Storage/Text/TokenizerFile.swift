/// ``ByteTokenizer`` as Hugging Face files: a BPE without merges over the 256 symbols by which
/// GPT-2 writes bytes, here in the order of the bytes.
extension ByteTokenizer {
    package static let fileName = "tokenizer.json"
    package static let configurationFileName = "tokenizer_config.json"

    /// The contents of `tokenizer.json`.
    package var fileBytes: [UInt8] {
        let byteLevel: JSON = [
            "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
            "use_regex": false,
        ]
        let vocabulary = (UInt8.min...UInt8.max).map {
            JSON.Member(name: String(Self.symbol(of: $0)), value: .integer(Int($0)))
        }
        let model: JSON = [
            "type": "BPE", "dropout": nil, "unk_token": nil, "continuing_subword_prefix": nil,
            "end_of_word_suffix": nil, "fuse_unk": false, "byte_fallback": false,
            "ignore_merges": false, "vocab": .object(vocabulary), "merges": [],
        ]
        let file: JSON = [
            "version": "1.0", "truncation": nil, "padding": nil,
            "added_tokens": .array(Self.specialTokens.map(Self.addedToken)),
            "normalizer": nil, "pre_tokenizer": byteLevel, "post_processor": nil,
            "decoder": byteLevel, "model": model,
        ]
        return file.encoded(indented: true)
    }

    /// The contents of `tokenizer_config.json` for a model of at most `contextLength` tokens.
    package func configurationFileBytes(contextLength: Int) -> [UInt8] {
        let special = Self.specialTokens
        let file: JSON = [
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": .integer(contextLength),
            "bos_token": .string(special[0].text), "eos_token": .string(special[0].text),
            "pad_token": .string(special[1].text), "add_bos_token": false,
            "add_prefix_space": false, "clean_up_tokenization_spaces": false,
        ]
        return file.encoded(indented: true)
    }

    /// Reads the `tokenizer.json` at `path`, which must be one of ours.
    ///
    /// Throws `missing`, `unreadable`, `corrupt`, or `unsupported` for any other tokenizer.
    package init(path: String) throws(StorageError) {
        let json = try JSON(file: path)
        guard let model = json["model"], let type = model["type"]?.string else {
            throw StorageError(.corrupt, "\(path) is no tokenizer: it has no model with a type")
        }
        func unsupported(_ what: String) -> StorageError {
            StorageError(
                .unsupported,
                "\(path) is no byte-level tokenizer without merges, which alone is read: \(what)")
        }
        guard type == "BPE" else { throw unsupported("its model is \(type)") }
        guard let merges = model["merges"]?.array, merges.isEmpty else {
            throw unsupported("it has \(model["merges"]?.array?.count ?? 0) merges")
        }
        guard json["normalizer"] ?? .null == .null else { throw unsupported("it has a normalizer") }
        guard let split = json["pre_tokenizer"], split["type"] == "ByteLevel",
            split["add_prefix_space"] == false, split["use_regex"] == false,
            json["decoder"]?["type"] == "ByteLevel"
        else { throw unsupported("its pre_tokenizer and decoder are not ByteLevel alone") }
        guard let vocabulary = model["vocab"]?.members,
            vocabulary.count == 256,
            (UInt8.min...UInt8.max).allSatisfy({
                vocabulary[Int($0)].name == String(Self.symbol(of: $0))
                    && vocabulary[Int($0)].value.integer == Int($0)
            })
        else { throw unsupported("its vocabulary is not the 256 bytes in their order") }
        guard json["added_tokens"] == .array(Self.specialTokens.map(Self.addedToken)) else {
            let names = Self.specialTokens.map(\.text).joined(separator: " and ")
            throw unsupported("its added tokens are not \(names)")
        }
        self.init()
    }

    private static func addedToken(_ token: (text: String, id: Int)) -> JSON {
        [
            "id": .integer(token.id), "content": .string(token.text), "single_word": false,
            "lstrip": false, "rstrip": false, "normalized": false, "special": true,
        ]
    }

    /// GPT-2's visible stand-in for `byte`: itself where it is printable in Latin-1, else the next
    /// free scalar from U+0100 on.
    static func symbol(of byte: UInt8) -> Character {
        func isPrintable(_ byte: UInt8) -> Bool {
            (0x21...0x7e).contains(byte) || (0xa1...0xac).contains(byte) || byte >= 0xae
        }
        guard !isPrintable(byte) else { return Character(Unicode.Scalar(byte)) }
        let rank = (0..<byte).count { !isPrintable($0) }
        return Character(Unicode.Scalar(0x100 + UInt32(rank)) ?? "\u{fffd}")
    }
}
