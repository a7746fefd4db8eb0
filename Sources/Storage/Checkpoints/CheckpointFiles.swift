/// Names of the files in a checkpoint folder.
///
///     checkpoint-000123/
///         config.json  generation_config.json  tokenizer.json  tokenizer_config.json
///         model.safetensors                  Hugging Face's: enough to generate and to evaluate;
///                                            or several of them and their index
///         martlet/
///             outer.safetensors  run.json    what resuming needs besides
///             manifest.json                  bytes and checksum of every file above
enum CheckpointFiles {
    static let configuration = "config.json"
    static let generation = "generation_config.json"
    static let tokenizer = Tokenizer.fileName
    static let tokenizerConfiguration = Tokenizer.configurationFileName
    /// One of these is there.
    static let weights = [SafetensorsFolder.singleName, SafetensorsFolder.indexName]
    /// The subfolder of everything that Hugging Face does not know.
    static let resumeFolder = "martlet"
    static let outer = "martlet/outer.safetensors"
    static let run = "martlet/run.json"
    static let manifest = "martlet/manifest.json"
    /// Without these no checkpoint of ours is complete.
    static let required = [configuration, tokenizer, run]
}

/// The small files of a checkpoint that describe its model to others.
package struct CheckpointDocuments: Sendable, Equatable {
    /// Contents of `config.json`.
    package var configuration: [UInt8]
    /// Contents of `generation_config.json`.
    package var generation: [UInt8]
    /// Contents of `tokenizer.json`.
    package var tokenizer: [UInt8]
    /// Contents of `tokenizer_config.json`.
    package var tokenizerConfiguration: [UInt8]

    /// The documents of a model described by `configuration`, which reads and writes bytes, at most
    /// `contextLength` tokens of them.
    package init(configuration: [UInt8], contextLength: Int) {
        let generation: JSON = [
            "bos_token_id": .integer(ByteTokenizer.endOfText),
            "eos_token_id": .integer(ByteTokenizer.endOfText),
            "pad_token_id": .integer(ByteTokenizer.padding),
            "do_sample": true,
        ]
        self.configuration = configuration
        self.generation = generation.encoded(indented: true)
        tokenizer = ByteTokenizer.fileBytes
        tokenizerConfiguration = ByteTokenizer.configurationFileBytes(contextLength: contextLength)
    }
}

/// Numbers kept for each parameter so that a run can go on.
package enum ResumeState: String, Sendable, CaseIterable {
    /// Momentum of the outer optimizer.
    case outerMomentum = "outer_momentum"
    /// Moments of AdamW, which shard servers step themselves during warm-up.
    case firstMoment = "first_moment"
    case secondMoment = "second_moment"
    /// Pushes that outer momentum waits for, where there are no rounds.
    case pendingUpdate = "pending_update"
    /// What workers have of the parameters, where servers say only what changes.
    case shadow

    /// Name in `outer.safetensors` of this state of parameter tensor `name`.
    func tensorName(_ name: String) -> String { "\(rawValue).\(name)" }
}
