import Foundation
import Storage
import Testing

@Suite struct CorpusTests {
    private func text(_ tokens: [UInt16]) -> String {
        tokens.map { $0 == 256 ? "|" : String(decoding: [UInt8($0)], as: UTF8.self) }.joined()
    }

    private func documents(_ count: Int) -> [CorpusDocument] {
        (0..<count).map {
            CorpusDocument(
                name: "folder/\($0).txt", bytes: Array("text of document \($0 + 1_000)".utf8))
        }
    }

    @Test func takesTextAndSaysWhatItLeavesOut() throws {
        let folder = try TemporaryFolder()
        try folder.write("one", to: "b.txt")
        try folder.write("two é", to: "a/z/deep.md")
        try folder.write("three", to: "B.txt")
        try folder.write("secret", to: ".hidden")
        try folder.write("secret", to: ".git/config")
        try folder.write([0x61, 0, 0x62], to: "binary")
        try folder.write([0x61, 0xff, 0x62], to: "latin1.txt")
        try folder.write("", to: "empty")
        try folder.write("one", to: "c/copy.txt")
        try folder.write(String(repeating: "x", count: 100), to: "large.txt")
        try FileManager.default.createSymbolicLink(
            atPath: folder.path("link"), withDestinationPath: folder.path)
        try run("/usr/bin/mkfifo", [folder.path("pipe")])
        var limits = CorpusLimits()
        limits.fileBytesMax = 99
        let corpus = try Corpus.load(
            paths: [folder.path], heldOutFraction: 0.01, limits: limits)
        #expect(corpus.report.documents == 3)
        #expect(corpus.report.bytes == 14)
        #expect(text(corpus.train) == "three|two \u{fffd}\u{fffd}|one|")
        let skipped = Dictionary(
            uniqueKeysWithValues: corpus.report.skipped.map {
                ($0.path.dropFirst(folder.path.count + 1), $0.reason)
            })
        #expect(
            skipped == [
                ".hidden": .hidden, ".git": .hidden, "binary": .binary, "latin1.txt": .binary,
                "empty": .empty, "c/copy.txt": .duplicate(of: "b.txt"),
                "large.txt": .tooLarge(bytes: 100), "link": .link, "pipe": .special,
            ])
    }

    @Test func isTheSameForTheSameFiles() throws {
        let first = try TemporaryFolder()
        let second = try TemporaryFolder()
        for document in documents(40) { try first.write(document.bytes, to: document.name) }
        for document in documents(40).reversed() {
            try second.write(document.bytes, to: document.name)
        }
        let one = try Corpus.load(paths: [first.path])
        let two = try Corpus.load(paths: [second.path + "/"])
        #expect(one.train == two.train)
        #expect(one.heldOut == two.heldOut)
        #expect(one.fingerprint == two.fingerprint)
        try second.write("text of document 1001!", to: "folder/1.txt")
        #expect(try Corpus.load(paths: [second.path]).fingerprint != one.fingerprint)
    }

    @Test func takesSingleFilesAndSeveralPaths() throws {
        let folder = try TemporaryFolder()
        let one = try folder.write("0123456789", to: "one")
        try folder.write("abcdefghij", to: "sub/two")
        let corpus = try Corpus.load(
            paths: [one, folder.path("sub"), folder.path], heldOutFraction: 0.3)
        #expect(text(corpus.train) == "0123456|abcdefg|")
        #expect(text(corpus.heldOut) == "789|hij|")
        #expect(corpus.report.heldOutDocuments == 0)
        #expect(corpus.report.skipped.count == 2)
    }

    @Test func namesWhatIsMissingOrEmpty() throws {
        let folder = try TemporaryFolder()
        let none = folder.path("none")
        #expect(try code { _ = try Corpus.load(paths: [none]) } == .missing)
        #expect(try code { _ = try Corpus.load(paths: [folder.path]) } == .missing)
        try folder.write([0, 1, 2], to: "binary")
        let error = #expect(throws: StorageError.self) { try Corpus.load(paths: [folder.path]) }
        #expect(error?.code == .missing)
        #expect(error?.message.contains("not text in UTF-8") == true)
    }

    @Test func refusesMoreThanItsLimits() throws {
        let folder = try TemporaryFolder()
        for document in documents(5) { try folder.write(document.bytes, to: document.name) }
        var limits = CorpusLimits()
        limits.filesMax = 4
        #expect(
            try code { _ = try Corpus.load(paths: [folder.path], limits: limits) } == .unsupported)
        limits = CorpusLimits()
        limits.totalBytesMax = 60
        #expect(
            try code { _ = try Corpus.load(paths: [folder.path], limits: limits) } == .unsupported)
        limits = CorpusLimits()
        limits.depthMax = 1
        #expect(try code { _ = try Corpus.load(paths: [folder.path], limits: limits) } == .missing)
    }

    @Test(arguments: [0.02, 0.05, 0.3])
    func holdsOutWholeDocuments(fraction: Double) {
        let documents = documents(400)
        let corpus = Corpus(documents: documents, heldOutFraction: fraction)
        let train = Set(corpus.train.split(separator: 256).map(Array.init))
        let heldOut = Set(corpus.heldOut.split(separator: 256).map(Array.init))
        #expect(train.isDisjoint(with: heldOut))
        #expect(train.count + heldOut.count == documents.count)
        #expect(corpus.report.heldOutDocuments == heldOut.count)
        let found = Double(heldOut.count) / Double(documents.count)
        #expect(found > 0.8 * fraction && found <= fraction)
        #expect(
            corpus.report.trainTokens + corpus.report.heldOutTokens
                == corpus.report.bytes + documents.count)
    }

    @Test func holdsOutTheSameDocumentsWhateverTheirOrder() {
        let documents = documents(100)
        let one = Corpus(documents: documents, heldOutFraction: 0.1)
        let two = Corpus(documents: documents.reversed(), heldOutFraction: 0.1)
        #expect(
            Set(one.heldOut.split(separator: 256)) == Set(two.heldOut.split(separator: 256)))
    }

    @Test func holdsOutTheEndsOfFewDocuments() {
        let document = CorpusDocument(
            name: "a", bytes: Array(String(repeating: "é", count: 50).utf8))
        let corpus = Corpus(documents: [document], heldOutFraction: 0.05)
        // Five bytes would begin inside a character.
        #expect(corpus.train.count == 96 + 1)
        #expect(corpus.heldOut.count == 4 + 1)
        #expect(corpus.heldOut.first == 0xc3)
    }

    @Test func holdsOutEndsWhereOneDocumentIsAlmostAll() {
        var documents = documents(30)
        documents.append(
            CorpusDocument(name: "big", bytes: Array(repeating: 0x61, count: 1_000_000)))
        let corpus = Corpus(documents: documents, heldOutFraction: 0.05)
        #expect(corpus.report.heldOutDocuments == 0)
        #expect(corpus.heldOut.count > 49_000)
    }
}
