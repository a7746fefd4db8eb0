/// Tokenizers of ours as Hugging Face files.
enum TokenizerFile {
    /// A `tokenizer.json` of a byte-level byte-pair encoding.
    static func document(
        addedTokens: [(text: String, id: Int)], normalizer: JSON, splitter: JSON, decoder: JSON,
        vocabulary: [JSON.Member], merges: [JSON]
    ) -> JSON {
        let model: JSON = [
            "type": "BPE", "dropout": nil, "unk_token": nil, "continuing_subword_prefix": nil,
            "end_of_word_suffix": nil, "fuse_unk": false, "byte_fallback": false,
            "ignore_merges": false, "vocab": .object(vocabulary), "merges": .array(merges),
        ]
        return [
            "version": "1.0", "truncation": nil, "padding": nil,
            "added_tokens": .array(addedTokens.map(addedToken)),
            "normalizer": normalizer, "pre_tokenizer": splitter, "post_processor": nil,
            "decoder": decoder, "model": model,
        ]
    }

    private static func addedToken(_ token: (text: String, id: Int)) -> JSON {
        [
            "id": .integer(token.id), "content": .string(token.text), "single_word": false,
            "lstrip": false, "rstrip": false, "normalized": false, "special": true,
        ]
    }

    /// The `tokenizer_config.json` beside it; `end` ends documents and stands before them.
    static func configuration(contextLength: Int?, end: String?, padding: String?) -> JSON {
        func text(_ value: String?) -> JSON { value.map { .string($0) } ?? .null }
        var members: [JSON.Member] = [
            .init(name: "tokenizer_class", value: "PreTrainedTokenizerFast")
        ]
        if let contextLength {
            members.append(.init(name: "model_max_length", value: .integer(contextLength)))
        }
        members += [
            .init(name: "bos_token", value: text(end)), .init(name: "eos_token", value: text(end)),
            .init(name: "pad_token", value: text(padding)),
            .init(name: "add_bos_token", value: false),
            .init(name: "add_prefix_space", value: false),
            .init(name: "clean_up_tokenization_spaces", value: false),
        ]
        return .object(members)
    }
}
