import FoundationEssentials
import MoE
import Testing

/// The committed corpus of `make fuzz`, once: what a fuzzer found stays found.
@Suite struct FuzzCorpusTests {
    @Test func configuration() throws {
        let tests = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        let folder = tests.appending(path: "Fuzz/corpus/configuration").path
        var sound = 0
        for name in try FileManager.default.contentsOfDirectory(atPath: folder).sorted() {
            let contents = try #require(FileManager.default.contents(atPath: "\(folder)/\(name)"))
            guard let read = try? ModelConfiguration(configurationJSON: contents) else { continue }
            let written = try read.configurationJSON()
            #expect(try ModelConfiguration(configurationJSON: written) == read, "\(name)")
            sound += 1
        }
        #expect(sound > 0)
    }
}
