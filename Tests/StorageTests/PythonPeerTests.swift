import Foundation
import Storage
import Tensors
import Testing

/// What Martlet writes, read by the libraries that everybody else reads it with.
@Suite struct PythonPeerTests {
    /// Runs a script of ours with the packages of `Tests/requirements.txt`.
    func python(_ script: String, _ arguments: String...) throws {
        let here = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        let root = here.deletingLastPathComponent().deletingLastPathComponent()
        let interpreter = root.appendingPathComponent(".venv/bin/python").path
        try #require(
            FileManager.default.isExecutableFile(atPath: interpreter),
            "no Python packages yet: run `make test`, which installs them")
        let path = here.appendingPathComponent("Python/\(script)").path
        let (status, output) = try run(interpreter, [path] + arguments)
        #expect(status == 0, "\(output)")
    }

    private static let texts = [
        "", " ", "  two  spaces ", "plain words, a number 12345 and don't", "\n\r\n\t\u{b}\u{c}",
        "naïve café — “quoted”…", "e\u{301} \u{e9} ﬁ Å", "日本語のテキスト、한국어", "שלום عليكم",
        "👩‍👩‍👧‍👦🇩🇪👍🏽", "\u{0}\u{1}\u{1f}\u{7f}\u{80}\u{85}\u{a0}\u{ad}\u{200b}\u{feff}\u{2028}",
        "\u{d7ff}\u{e000}\u{fffd}\u{ffff}\u{10000}\u{10ffff}", "Ġ Ċ ĉ Ā ¡ ÿ", "<|endoftext|>",
        "a<|endoftext|>b<|pad|> <|pad|", "<|end<|endoftext|>", " <|endoftext|> \n",
        String((0..<128).map { Character(Unicode.Scalar($0)) }),
    ]

    @Test func tokenizersAgree() throws {
        let folder = try TemporaryFolder()
        let tokenizer = try Tokenizer(
            parsing: ByteTokenizer.fileBytes, path: Tokenizer.fileName)
        var generator = Generator(seed: 5)
        var texts = Self.texts
        for _ in 0..<300 {
            let scalars = (0..<12).compactMap { _ -> Unicode.Scalar? in
                let bits = Int.random(in: 6...21, using: &generator)
                return Unicode.Scalar(UInt32.random(in: 0..<1 << bits, using: &generator))
            }
            texts.append(String(String.UnicodeScalarView(scalars)))
        }
        var sequences: [[Int32]] = (0..<256).map { [$0] }
        for _ in 0..<300 {
            sequences.append((0..<9).map { _ in Int32.random(in: 0..<258, using: &generator) })
        }
        let cases: JSON = [
            "texts": .array(
                try texts.map {
                    [
                        "text": .string($0), "ids": json(try tokenizer.encode($0)),
                        "ids_with_special": json(
                            try tokenizer.encode($0, recognizingSpecialTokens: true)),
                    ]
                }),
            "sequences": .array(
                sequences.map { ["ids": json($0), "text": .string(tokenizer.decode($0))] }),
        ]
        try folder.write(tokenizer.fileBytes, to: Tokenizer.fileName)
        try folder.write(cases.encoded(), to: "cases.json")
        try python("tokenizer_agrees.py", folder.path)
    }

    /// Fresh random texts and ids, unlike those of the fixtures.
    @Test(arguments: TokenizerAgreementTests.kinds)
    func tokenizersAgreeOnRandomText(kind: String) throws {
        let folder = try TemporaryFolder()
        let path = tokenizerFixture("\(kind).json")
        let tokenizer = try Tokenizer(path: path)
        var generator = Generator(seed: 77)
        let pieces = [
            " ", "  ", "\n", "\r\n", "\t", "'s", "'LL", "the", " and", "1", "23", "é", "e\u{301}",
            "\u{1100}\u{1161}", "日本", "한", "👍🏽", "\u{200d}", "\u{a0}", "\u{3000}", "ſ", "▁", "!",
            "...",
            "<|endoftext|>", "<s>", "[LEFT]", "[RIGHT]", "[WORD]", "_", "-", "/", "Ab", "ZW",
            "\u{0}",
        ]
        var texts: [JSON] = []
        for index in 0..<400 {
            var text = ""
            for _ in 0..<Int.random(in: 1...24, using: &generator) {
                let bits = Int.random(in: 5...21, using: &generator)
                let value = UInt32.random(in: 0..<1 << bits, using: &generator)
                if index % 2 == 0, let piece = pieces.randomElement(using: &generator) {
                    text += piece
                } else if let scalar = Unicode.Scalar(value) {
                    text.unicodeScalars.append(scalar)
                }
            }
            let all = try tokenizer.encode(
                text, recognizingSpecialTokens: true, addingTemplate: true)
            texts.append([
                "text": .string(text), "ids": json(try tokenizer.encode(text)),
                "template": json(all),
            ])
        }
        let last = Int32(tokenizer.vocabularySize)
        let sequences: [JSON] = (0..<400).map { index in
            // Low ids are bytes, which make broken characters.
            let ids = (0..<10).map { _ in
                Int32.random(in: 0..<(index % 2 == 0 ? last : min(last, 300)), using: &generator)
            }
            return ["ids": json(ids), "text": .string(tokenizer.decode(ids))]
        }
        let cases: JSON = ["texts": .array(texts), "sequences": .array(sequences)]
        let file = try folder.write(cases.encoded(), to: "cases.json")
        try python("tokenizers_agree.py", path, file)
    }

    /// Down to the last pair, where all are equally rare.
    @Test(arguments: BytePairTrainer.Split.allCases, [400, 3_000])
    func trainersAgree(split: BytePairTrainer.Split, size: Int) throws {
        let folder = try TemporaryFolder()
        let special = ["<|end|>", "<|pad|>"]
        let documents = BytePairTrainerTests.documents
        let result = try BytePairTrainerTests.train(split, size: size, special: special)
        let path = try folder.write(result.fileBytes, to: Tokenizer.fileName)
        let tokenizer = try Tokenizer(path: path)
        let pattern = split == .gpt2 ? "" : split == .qwen2 ? Pattern.qwen2 : Pattern.llama3
        let texts = Self.texts + documents
        let cases: JSON = [
            "documents": .array(documents.map { .string($0) }), "pattern": .string(pattern),
            "size": .integer(size), "special": .array(special.map { .string($0) }),
            "texts": .array(
                try texts.map { ["text": .string($0), "ids": json(try tokenizer.encode($0))] }),
        ]
        let file = try folder.write(cases.encoded(), to: "cases.json")
        try python("trainer_agrees.py", path, file)
    }

    private func json(_ ids: [Int32]) -> JSON { .array(ids.map { .integer(Int($0)) }) }

    @Test func safetensorsReadsOurs() throws {
        let folder = try TemporaryFolder()
        let path = folder.path("checkpoint")
        try writeSmallCheckpoint(to: path)
        let expected: JSON = .object(
            smallLayout.tensors.map { tensor in
                JSON.Member(
                    name: tensor.name,
                    value: [
                        "shape": .array(tensor.shape.map { .integer($0) }),
                        // As bit patterns: no rounding in between.
                        "bits": .array(
                            smallParameters[tensor.range].array.map {
                                .integer(Int($0.bitPattern))
                            }),
                    ])
            })
        try folder.write(expected.encoded(), to: "expected.json")
        try python(
            "safetensors_agrees.py", path + "/model.safetensors", folder.path("expected.json"),
            folder.path("theirs.safetensors"))

        // And the other way about: what the script wrote.
        let theirs = try SafetensorsFile(path: folder.path("theirs.safetensors"))
        #expect(theirs.header.metadata == ["format": "np"])
        #expect(try theirs.tensor(named: "matrix").shape == [2, 3])
        #expect(try theirs.floats("matrix").array == [0, 1, 2, 3, 4, 5])
        #expect(try theirs.floats("half").array == [0.5, -2])
        #expect(try theirs.values("tokens", of: Int64.self).array == [1, -2, 1 << 40])
        #expect(try theirs.values("double", of: Double.self).array == [0.1])
    }
}
