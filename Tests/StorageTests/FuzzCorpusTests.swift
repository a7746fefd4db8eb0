import Foundation
import Storage
import Tensors
import Testing

/// The committed corpus of `make fuzz`, once: what a fuzzer found stays found.
///
/// As in `Tests/Fuzz`, any input is refused with an error, or is sound.
@Suite struct FuzzCorpusTests {
    private func inputs(_ target: String) throws -> [(path: String, bytes: [UInt8])] {
        let tests = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent()
        let folder = tests.appendingPathComponent("Fuzz/corpus/\(target)").path
        let names = try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
        #expect(names.count >= 3, "\(folder) is nearly empty")
        return try names.map { ("\(folder)/\($0)", try bytes(at: "\(folder)/\($0)")) }
    }

    @Test func json() throws {
        for (path, bytes) in try inputs("json") {
            guard let json = try? JSON(parsing: bytes) else { continue }
            #expect(try JSON(parsing: json.encoded()) == json, "\(path)")
            #expect(try JSON(parsing: json.encoded(indented: true)) == json, "\(path)")
        }
    }

    @Test func safetensors() throws {
        var sound = 0
        for (path, _) in try inputs("safetensors") {
            guard let file = try? SafetensorsFile(path: path) else { continue }
            sound += 1
            for tensor in file.header.tensors where tensor.type.isReadAsFloats {
                #expect(try file.floats(tensor.name).count == tensor.count, "\(path)")
            }
        }
        #expect(sound > 0)
    }

    @Test func tokenizer() throws {
        var sound = 0
        for (path, bytes) in try inputs("tokenizer") {
            let end = bytes.firstIndex(of: 0) ?? bytes.endIndex
            guard let tokenizer = try? Tokenizer(parsing: Array(bytes[..<end]), path: path)
            else { continue }
            sound += 1
            let text = String(decoding: bytes[end...].dropFirst(), as: UTF8.self)
            let ids = try tokenizer.encode(
                text, recognizingSpecialTokens: true, addingTemplate: true)
            #expect(ids.allSatisfy { $0 >= 0 && $0 < tokenizer.vocabularySize }, "\(path)")
            var stream = tokenizer.stream()
            let pieces = ids.map { stream.append($0) } + [stream.finish()]
            #expect(pieces.joined() == tokenizer.decode(ids), "\(path)")
        }
        #expect(sound >= 4)
    }
}
