import Foundation
import Storage
import Testing

@Suite struct ByteTokenizerTests {
    private let tokenizer = ByteTokenizer()

    @Test func oneTokenAByte() {
        #expect(tokenizer.encode("aé") == [0x61, 0xc3, 0xa9])
        #expect(tokenizer.encode("") == [])
        #expect(tokenizer.decode([0x61, 0xc3, 0xa9, 256, 257, 300, -1, 0x62]) == "aéb")
        #expect(tokenizer.decode([0x61, 0xc3]) == "a\u{fffd}")
        #expect(ByteTokenizer.vocabularySize == 258)
    }

    @Test func readsSpecialTokensOnlyWhereAsked() {
        let text = "a<|endoftext|><|pad|><|endoftext|"
        #expect(tokenizer.encode(text).count == text.utf8.count)
        #expect(
            tokenizer.encode(text, recognizingSpecialTokens: true)
                == [0x61, 256, 257] + "<|endoftext|".utf8.map { Int32($0) })
    }

    @Test func streamsOnlyWholeCharacters() {
        let text = "aé€😀\u{0}\u{7f}👩‍👩‍👧z"
        var stream = TextStream()
        var streamed = ""
        for token in tokenizer.encode(text) {
            let piece = stream.append(token)
            #expect(!piece.contains("\u{fffd}"))
            #expect(piece.unicodeScalars.count <= 1)
            streamed += piece
        }
        #expect(stream.finish() == "")
        #expect(streamed == text)
    }

    @Test func streamsWhatIsLeftAtTheEnd() {
        var stream = TextStream()
        #expect(stream.append(0xf0) == "")
        #expect(stream.append(256) == "")
        #expect(stream.append(0x9f) == "")
        #expect(stream.finish() == "\u{fffd}")
        #expect(stream.finish() == "")
        #expect(stream.append(0x61) == "a")
    }

    /// Bytes that look like the start of a character and can't become one are not waited for.
    @Test(
        arguments: [
            [0xc0], [0xc1], [0xe0, 0x80], [0xed, 0xa0], [0xf0, 0x8f], [0xf4, 0x90], [0xf5], [0x80],
        ] as [[Int32]])
    func holdsNothingBackInVain(ids: [Int32]) {
        var stream = TextStream()
        let text = ids.map { stream.append($0) }.joined()
        #expect(text == tokenizer.decode(ids))
        #expect(stream.finish() == "")
    }

    /// For every sequence of bytes, the pieces together are the text of the whole.
    @Test(arguments: 0..<4) func streamsDamagedText(seed: UInt64) {
        var generator = Generator(seed: seed)
        let bytes: [Int32] = [
            0x41, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc2, 0xdf, 0xe0, 0xe1, 0xed, 0xef,
            0xf0, 0xf1, 0xf4, 0xf5, 0xff,
        ]
        for _ in 0..<5_000 {
            let ids = (0..<8).map { _ in bytes.randomElement(using: &generator) ?? 0 }
            var stream = TextStream()
            let pieces = ids.map { stream.append($0) } + [stream.finish()]
            #expect(pieces.joined() == tokenizer.decode(ids), "\(ids)")
        }
    }

    @Test func readsItsOwnFile() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write(tokenizer.fileBytes, to: ByteTokenizer.fileName)
        #expect(try ByteTokenizer(path: path) == tokenizer)
    }

    @Test(arguments: [
        (#""merges": []"#, #""merges": ["a b"]"#), (#""type": "BPE""#, #""type": "Unigram""#),
        (#""use_regex": false"#, #""use_regex": true"#),
        (#""add_prefix_space": false"#, #""add_prefix_space": true"#),
        (#""normalizer": null"#, #""normalizer": {"type": "NFC"}"#),
        (#""a": 97"#, #""a": 98"#), ("<|pad|>", "<|fill|>"), (#""id": 257"#, #""id": 258"#),
    ])
    func refusesOtherTokenizers(found: String, replaced: String) throws {
        let folder = try TemporaryFolder()
        let text = String(decoding: tokenizer.fileBytes, as: UTF8.self)
        #expect(text.contains(found))
        let path = try folder.write(
            text.replacingOccurrences(of: found, with: replaced), to: "tokenizer.json")
        let error = #expect(throws: StorageError.self) { try ByteTokenizer(path: path) }
        #expect(error?.code == .unsupported)
        #expect(error?.message.contains(path) == true)
    }

    @Test func refusesWhatIsNoTokenizer() throws {
        let folder = try TemporaryFolder()
        for text in ["", "{}", "[]", #"{"model": 1}"#] {
            let path = try folder.write(text, to: "tokenizer.json")
            #expect(try code { _ = try ByteTokenizer(path: path) } == .corrupt)
        }
        #expect(try code { _ = try ByteTokenizer(path: folder.path("none")) } == .missing)
    }
}
