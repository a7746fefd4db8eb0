import ArgumentParser
import Foundation
import Testing

@testable import martlet

@Suite("Codecs, measured")
struct CodecBenchmarkTests {
    /// What `martlet bench codec --json` prints with `options`, after three runs of everything.
    private func measured(_ options: String) throws -> [String: Any] {
        let arguments = "bench codec \(options) --elements 20000 --json"
        let command = try Martlet.parseAsRoot(arguments.split(separator: " ").map(String.init))
        var plan = try #require(command as? BenchCodecCommand).plan()
        plan.timePerSpeed = .zero
        let line = try CodecBenchmark(plan).run().jsonLine()
        #expect(!line.contains("\n"))
        return try #require(
            JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
    }

    private func number(_ key: String, _ json: [String: Any]) throws -> Double {
        try #require(json[key] as? NSNumber, "no \(key)").doubleValue
    }

    @Test(
        "Every figure has its key, and what a codec has no part of is 0",
        arguments: ["raw", "int8", "topk"])
    func keys(codec: String) throws {
        let json = try measured("--codec \(codec)")
        #expect(
            json.keys.sorted() == [
                "bits_per_parameter", "bits_per_parameter_first", "check_gb_per_s", "codec",
                "decode_gb_per_s", "dequantize_gb_per_s", "distribution", "elements",
                "encode_gb_per_s", "instruction_set", "quantize_gb_per_s",
                "relative_squared_error", "select_gb_per_s", "select_gradient_gb_per_s",
                "threads",
            ])
        #expect(json["codec"] as? String == codec)
        #expect(try number("elements", json) == 20_000)
        #expect(try number("threads", json) == 1)
        for key in ["bits_per_parameter", "encode_gb_per_s", "decode_gb_per_s"] {
            #expect(try number(key, json) > 0, "\(key)")
        }
        for key in ["quantize_gb_per_s", "dequantize_gb_per_s"] {
            let isMeasured = try number(key, json) > 0
            #expect(isMeasured == (codec == "int8"), "\(key)")
        }
        for key in ["select_gb_per_s", "select_gradient_gb_per_s"] {
            let isMeasured = try number(key, json) > 0
            #expect(isMeasured == (codec == "topk"), "\(key)")
        }
    }

    /// A table of 12 bytes, 157 scales of 2 bytes, 10,000 bytes of codes; raw has the numbers only.
    @Test("Bits count everything", arguments: [("raw", 32.0), ("int4/plain", 4.1304)])
    func everythingCounts(codec: String, bits: Double) throws {
        let json = try measured("--codec \(codec)")
        #expect(try number("bits_per_parameter", json) == bits)
        #expect(try number("bits_per_parameter_first", json) == bits)
    }

    /// Behind zstd a residual would show in the number of bytes.
    @Test(
        "What keeps no residual is measured without one, as workers send it",
        arguments: ["bf16", "int8", "int4", "fp4"])
    func withoutResidual(codec: String) throws {
        let json = try measured("--codec \(codec)")
        let bits = try number("bits_per_parameter", json)
        #expect(try bits == number("bits_per_parameter_first", json))
        // Rounds are all alike.
        #expect(try bits == number("bits_per_parameter", measured("--codec \(codec) --rounds 3")))
    }

    @Test("What keeps a residual is measured with what some rounds have left")
    func withResidual() throws {
        let json = try measured("--codec topk")
        let first = try number("bits_per_parameter_first", json)
        #expect(try number("bits_per_parameter", json) != first)
        let fresh = try measured("--codec topk --rounds 0")
        #expect(try number("bits_per_parameter", fresh) == first)
    }
}
