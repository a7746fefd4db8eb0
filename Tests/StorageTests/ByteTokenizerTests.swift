import Foundation
import Storage
import Testing

@Suite struct ByteTokenizerTests {
    private let tokenizer: Tokenizer

    init() throws {
        tokenizer = try Tokenizer(parsing: ByteTokenizer.fileBytes, path: "tokenizer.json")
    }

    @Test func oneTokenAByte() throws {
        #expect(try tokenizer.encode("aé") == [0x61, 0xc3, 0xa9])
        #expect(try tokenizer.encode("") == [])
        #expect(tokenizer.decode([0x61, 0xc3, 0xa9, 256, 257, 300, -1, 0x62]) == "aéb")
        #expect(tokenizer.decode([0x61, 0xc3]) == "a\u{fffd}")
        #expect(ByteTokenizer.vocabularySize == 258)
    }

    @Test func readsSpecialTokensOnlyWhereAsked() throws {
        let text = "a<|endoftext|><|pad|><|endoftext|"
        #expect(try tokenizer.encode(text).count == text.utf8.count)
        #expect(
            try tokenizer.encode(text, recognizingSpecialTokens: true)
                == [0x61, 256, 257] + "<|endoftext|".utf8.map { Int32($0) })
    }

    @Test func streamsOnlyWholeCharacters() throws {
        let text = "aé€😀\u{0}\u{7f}👩‍👩‍👧z"
        var stream = tokenizer.stream()
        var streamed = ""
        for token in try tokenizer.encode(text) {
            let piece = stream.append(token)
            #expect(!piece.contains("\u{fffd}"))
            #expect(piece.unicodeScalars.count <= 1)
            streamed += piece
        }
        #expect(stream.finish() == "")
        #expect(streamed == text)
    }

    @Test func streamsWhatIsLeftAtTheEnd() {
        var stream = tokenizer.stream()
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
        var stream = tokenizer.stream()
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
            var stream = tokenizer.stream()
            let pieces = ids.map { stream.append($0) } + [stream.finish()]
            #expect(pieces.joined() == tokenizer.decode(ids), "\(ids)")
        }
    }
}
