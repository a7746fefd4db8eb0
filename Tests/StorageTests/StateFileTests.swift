import Foundation
import Storage
import Tensors
import Testing

@Suite struct StateFileTests {
    private let document = Array(#"{"round": 3, "text": "é\n"}"#.utf8)

    private func write(_ path: String) throws {
        try StateFile.write(
            [
                ("first_moment", randomBuffer(5, seed: 1)), ("nothing", FloatBuffer(count: 0)),
                ("second_moment", randomBuffer(3, seed: 2)),
            ],
            document: document, to: path)
    }

    private func check(_ file: StateFile) throws {
        #expect(file.document == document)
        #expect(file.names == ["first_moment", "nothing", "second_moment"])
        #expect(file.count(of: "first_moment") == 5)
        let values = FloatBuffer(count: 3)
        try file.read("second_moment", into: values)
        #expect(values.array == randomBuffer(3, seed: 2).array)
    }

    @Test func readsWhatItWrites() throws {
        let folder = try TemporaryFolder()
        let path = folder.path("worker.state")
        for _ in 0..<2 {
            try write(path)
            try check(try StateFile(path: path))
        }
        let file = try StateFile(path: path)
        #expect(try code { try file.read("none", into: FloatBuffer(count: 1)) } == .missing)
        #expect(try code { try file.read("nothing", into: FloatBuffer(count: 1)) } == .mismatch)
        #expect(try folder.names() == ["worker.state"])
        // Any reader of safetensors can look into it.
        #expect(try SafetensorsFile(path: path).floats("first_moment").count == 5)
    }

    @Test func refusesEveryFlippedBitAndEveryTruncation() throws {
        let folder = try TemporaryFolder()
        try write(folder.path("whole"))
        let whole = try bytes(at: folder.path("whole"))
        for index in whole.indices {
            for bit in 0..<8 {
                var damaged = whole
                damaged[index] ^= 1 << bit
                let path = try folder.write(damaged, to: "damaged")
                let refusal = try code { _ = try StateFile(path: path) }
                #expect(
                    refusal == .corrupt || refusal == .unsupported, "bit \(bit) of byte \(index)")
            }
            let path = try folder.write(Array(whole.prefix(index)), to: "damaged")
            #expect(try code { _ = try StateFile(path: path) } == .corrupt, "\(index) bytes")
        }
    }

    @Test func refusesOtherFiles() throws {
        let folder = try TemporaryFolder()
        #expect(try code { _ = try StateFile(path: folder.path("none")) } == .missing)
        let header = SafetensorsHeader(tensors: [("a", .float32, [1])])
        var writer = try SafetensorsWriter(path: folder.path("weights"), header: header)
        try writer.append(FloatBuffer([1]))
        _ = try writer.finish()
        #expect(try code { _ = try StateFile(path: folder.path("weights")) } == .corrupt)
    }
}
