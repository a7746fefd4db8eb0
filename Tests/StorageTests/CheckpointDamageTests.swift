import Foundation
import Storage
import Tensors
import Testing

/// A checkpoint in which one byte is wrong is refused, or loads exactly as it was.
@Suite struct CheckpointDamageTests {
    private struct Contents: Equatable {
        let parameters: [Float]
        let momentum: [Float]
        let configuration: [UInt8]
        let run: [UInt8]

        init(_ path: String) throws {
            let checkpoint = try Checkpoint.open(path)
            let parameters = FloatBuffer(count: smallLayout.count)
            let momentum = FloatBuffer(count: smallLayout.count)
            try checkpoint.loadParameters(layout: smallLayout, into: parameters)
            for (index, module) in smallLayout.modules.enumerated() {
                try checkpoint.loadResumeState(
                    .outerMomentum, module: index, layout: smallLayout,
                    into: momentum[module.range])
            }
            self.parameters = parameters.array
            self.momentum = momentum.array
            configuration = checkpoint.configuration
            run = try checkpoint.run()
        }
    }

    /// Every byte of every file is flipped in one bit; in the manifest, in each bit; in the
    /// tokenizer, which is large and only checksummed, every 13th.
    @Test(arguments: [
        ("config.json", 1, 1), ("generation_config.json", 1, 1), ("tokenizer.json", 13, 1),
        ("tokenizer_config.json", 1, 1), ("model.safetensors", 1, 1),
        ("martlet/outer.safetensors", 1, 1), ("martlet/run.json", 1, 1),
        ("martlet/manifest.json", 1, 8),
    ])
    func refusesFlippedBits(name: String, step: Int, bits: Int) throws {
        let folder = try TemporaryFolder()
        let path = folder.path("checkpoint")
        try writeSmallCheckpoint(to: path)
        let original = try Contents(path)
        let whole = try bytes(at: "\(path)/\(name)")
        var harmless = 0
        for index in stride(from: 0, to: whole.count, by: step) {
            for bit in 0..<bits {
                var damaged = whole
                damaged[index] ^= 1 << ((index + bit) % 8)
                try folder.write(damaged, to: "checkpoint/\(name)")
                do {
                    let contents = try Contents(path)
                    #expect(contents == original, "byte \(index) of \(name)")
                    harmless += 1
                } catch let error as StorageError {
                    #expect(
                        error.code == .corrupt || error.code == .unsupported,
                        "byte \(index) of \(name): \(error)")
                }
            }
        }
        if name.hasSuffix("manifest.json") {
            // Only white space that became other white space.
            let spaces = whole.count { $0 == 0x20 || $0 == 0x0a }
            #expect(harmless < spaces, "\(harmless) flips of \(whole.count * bits) accepted")
        } else {
            #expect(harmless == 0)
        }
        try folder.write(whole, to: "checkpoint/\(name)")
        #expect(try Contents(path) == original)
    }

    @Test(arguments: ["model.safetensors", "martlet/manifest.json"])
    func refusesEveryTruncation(name: String) throws {
        let folder = try TemporaryFolder()
        let path = folder.path("checkpoint")
        try writeSmallCheckpoint(to: path)
        let whole = try bytes(at: "\(path)/\(name)")
        // The last byte of the manifest is a line feed and says nothing.
        for length in 0..<whole.count - 1 {
            try folder.write(Array(whole.prefix(length)), to: "checkpoint/\(name)")
            #expect(try code { _ = try Contents(path) } == .corrupt, "\(length) bytes of \(name)")
        }
    }

    /// Without a manifest the file's own header is all there is to go by.
    @Test func survivesDamageToAPlainFolder() throws {
        let folder = try TemporaryFolder()
        let path = folder.path("checkpoint")
        try writeSmallCheckpoint(to: path)
        try FileManager.default.removeItem(atPath: path + "/martlet")
        let whole = try bytes(at: path + "/model.safetensors")
        let headerCount = 8 + Int(whole[0]) + Int(whole[1]) << 8
        for index in 0..<headerCount {
            for bit in 0..<8 {
                var damaged = whole
                damaged[index] ^= 1 << bit
                try folder.write(damaged, to: "checkpoint/model.safetensors")
                let parameters = FloatBuffer(count: smallLayout.count)
                do {
                    try Checkpoint.open(path).loadParameters(
                        layout: smallLayout, into: parameters)
                    #expect(parameters.array == smallParameters.array, "byte \(index)")
                } catch {
                    // Refused.
                }
            }
        }
    }

    /// Such names are refused even where the file is there, with the bytes that are listed.
    @Test(arguments: ["../outside", "martlet/../../outside", "./config.json", "martlet//run.json"])
    func refusesAManifestThatLeadsOutOfTheFolder(name: String) throws {
        let folder = try TemporaryFolder()
        let path = folder.path("checkpoint")
        try writeSmallCheckpoint(to: path)
        try folder.write("x", to: "outside")
        let listed = try bytes(at: "\(path)/\(name)")
        let entry: JSON = [
            "name": .string(name), "bytes": .integer(listed.count),
            "crc32c": .string(String(format: "%08x", Checksum.of(listed))),
        ]
        let manifest = try JSON(parsing: try bytes(at: path + "/martlet/manifest.json"))
        for extra in [[], [entry]] {
            let extended: JSON = [
                "format": manifest["format"] ?? nil, "version": manifest["version"] ?? nil,
                "files": .array((manifest["files"]?.array ?? []) + extra),
            ]
            try folder.write(extended.encoded(), to: "checkpoint/martlet/manifest.json")
            let refusal = try code { _ = try Checkpoint.open(path) }
            #expect(refusal == (extra.isEmpty ? nil : .corrupt))
        }
    }
}
