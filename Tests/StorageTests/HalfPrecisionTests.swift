import Foundation
import Storage
import Tensors
import Testing

/// 16-bit numbers on their way in and out, and files that change while they are read.
@Suite struct HalfPrecisionTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    /// A file of `halves` as one tensor "w", behind three bytes that leave it at an odd place.
    private func write(_ type: ScalarType, _ halves: [UInt16]) throws -> String {
        let path = folder.path("\(type.rawValue)-\(halves.count).safetensors")
        let header = SafetensorsHeader(tensors: [("odd", .uint8, [3]), ("w", type, [halves.count])])
        let data = halves.flatMap { [UInt8($0 & 0xff), UInt8($0 >> 8)] }
        return try folder.write(
            header.encoded() + [1, 2, 3] + data, to: (path as NSString).lastPathComponent)
    }

    @Test(arguments: [ScalarType.float16, .bfloat16])
    func readsEveryNumberThereIs(type: ScalarType) throws {
        let halves = (0...UInt16.max).map { $0 }
        let read = try SafetensorsFile(path: write(type, halves)).floats("w")
        for half in halves {
            let expected =
                type == .float16
                ? Float(Float16(bitPattern: half)) : Float(bitPattern: UInt32(half) << 16)
            let found = read[Int(half)]
            guard found.bitPattern != expected.bitPattern else { continue }
            #expect(found.isNaN && expected.isNaN, "\(half): \(found), not \(expected)")
        }
    }

    // MARK: Rounding

    /// The bits of the bf16 nearest to `value`, found by comparing distances.
    private func nearestBfloat(_ value: Float) -> UInt16 {
        let below = UInt16(value.bitPattern >> 16)
        func distance(_ half: UInt16) -> Double {
            abs(Double(Float(bitPattern: UInt32(half) << 16)) - Double(value))
        }
        let above = below + 1
        if distance(below) == distance(above) { return below % 2 == 0 ? below : above }
        return distance(below) < distance(above) ? below : above
    }

    private func written(_ type: ScalarType, _ values: FloatBuffer) throws -> [UInt16] {
        let path = folder.path("rounded-\(type.rawValue)")
        try? FileManager.default.removeItem(atPath: path)
        let header = SafetensorsHeader(tensors: [("w", type, [values.count])])
        var writer = try SafetensorsWriter(path: path, header: header)
        try writer.append(rounding: values)
        _ = try writer.finish()
        let data = try bytes(at: path).dropFirst(header.encoded().count)
        return stride(from: data.startIndex, to: data.endIndex, by: 2).map {
            UInt16(data[$0]) | UInt16(data[$0 + 1]) << 8
        }
    }

    @Test(arguments: [ScalarType.float16, .bfloat16])
    func roundsToNearestEven(type: ScalarType) throws {
        var generator = Generator(seed: 7)
        // More than one part, so that the seams are written too.
        var values = (0..<100_003).map { _ -> Float in
            let bits = UInt32.random(in: 0...UInt32.max, using: &generator)
            let value = Float(bitPattern: bits)
            // Half of them near the range of fp16.
            if bits % 2 == 0, value.isFinite, abs(value) < 0x1p126 { return value }
            return Float.random(in: -70_000...70_000, using: &generator)
        }
        // Exactly between two, and a little to either side.
        for half in stride(from: UInt32(0), to: 0x7f00, by: 1) {
            let shift: UInt32 = type == .float16 ? 13 : 16
            let tie =
                type == .float16
                ? Float(Float16(bitPattern: UInt16(half % 0x7bff))).bitPattern | 1 << (shift - 1)
                : half << 16 | 0x8000
            values += [tie - 1, tie, tie + 1].map { Float(bitPattern: $0) }
        }
        let limit: Float = type == .float16 ? 65_519.99 : 0x1.fep127
        values = values.filter { abs($0) < limit }
        let found = try written(type, FloatBuffer(values))
        let wrong = zip(values, found).filter { value, half in
            half != (type == .float16 ? Float16(value).bitPattern : nearestBfloat(value))
        }
        #expect(wrong.isEmpty, "\(wrong.count) numbers, the first of them \(wrong[0])")
        #expect(values.count > 100_000)
    }

    @Test(arguments: [
        (ScalarType.float16, Float(65_520)), (.float16, -1e30), (.float16, .nan),
        (.bfloat16, .greatestFiniteMagnitude), (.bfloat16, .infinity), (.bfloat16, .nan),
    ])
    func namesTheTensorOfANumberThatHasNoPlace(type: ScalarType, value: Float) throws {
        let values = FloatBuffer([1, 2, value])
        let error = #expect(throws: StorageError.self) { try written(type, values) }
        #expect(error?.code == .mismatch)
        #expect(
            error?.message.contains("\(value) in tensor \"w\" has no place in \(type.rawValue)")
                == true)
    }

    @Test func theLargestNumbersHaveAPlace() throws {
        #expect(try written(.float16, FloatBuffer([65_519.99, -65_504])) == [0x7bff, 0xfbff])
        #expect(try written(.bfloat16, FloatBuffer([0x1.fep127])) == [0x7f7f])
        #expect(try written(.float32, FloatBuffer([.nan])).count == 2)
    }

    // MARK: Files that change

    private static func cut(_ path: String, to length: UInt64) throws {
        let file = try FileHandle(forWritingTo: URL(fileURLWithPath: path))
        try file.truncate(atOffset: length)
        try file.close()
    }

    /// A plain load from a mapping would end the process here.
    @Test(arguments: [ScalarType.float16, .bfloat16])
    func aFileThatShrankIsAnError(type: ScalarType) throws {
        let path = try write(type, [UInt16](repeating: 0x3c00, count: 300_000))
        let file = try SafetensorsFile(path: path)
        #expect(try file.floats("w")[299_999] == Float(type == .float16 ? 1 : 0.0078125))
        for length: UInt64 in [400_000, 4096, 0] {
            try Self.cut(path, to: length)
            let error = #expect(throws: StorageError.self) { try file.floats("w") }
            #expect(error?.code == .corrupt)
            #expect(error?.message.contains(path) == true)
            #expect(error?.message.contains("tensor \"w\"") == true)
        }
        // And the thread reads on.
        let other = try SafetensorsFile(path: write(type, [0, 0x3c00]))
        #expect(try other.floats("w")[1] > 0)
    }

    @Test func aPlainFileThatShrankIsAnError() throws {
        let path = folder.path("plain")
        var writer = try SafetensorsWriter(
            path: path, header: SafetensorsHeader(tensors: [("w", .float32, [50_000])]))
        try writer.append(FloatBuffer(count: 50_000))
        _ = try writer.finish()
        let file = try SafetensorsFile(path: path)
        try Self.cut(path, to: 100_000)
        #expect(try code { _ = try file.floats("w") } == .corrupt)
    }

    @Test func manyThreadsReadWhileTheFileShrinks() async throws {
        let path = try write(.bfloat16, [UInt16](repeating: 0x3f80, count: 500_000))
        let file = try SafetensorsFile(path: path)
        let refusals = await withTaskGroup(of: Int.self, returning: Int.self) { group in
            for reader in 0..<4 {
                group.addTask {
                    var refusals = 0
                    for turn in 0..<40 {
                        if reader == 0, turn == 20 { try? Self.cut(path, to: 200_000) }
                        guard let numbers = try? file.floats("w") else {
                            refusals += 1
                            continue
                        }
                        if numbers[0] != 1 { Issue.record("\(numbers[0]) was read") }
                    }
                    return refusals
                }
            }
            return await group.reduce(0, +)
        }
        #expect(refusals >= 20 && refusals <= 140, "\(refusals) of 160")
    }
}
