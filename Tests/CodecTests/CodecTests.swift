import LocalSGD
import NIOCore
import Tensors
import Testing

@testable import Codec

/// What every codec does: names, numbers in and out, the same bytes on any number of threads.
@Suite struct CodecTests {
    @Test func namesComeBack() {
        for name in ["raw", "bf16", "int8", "int4/plain", "fp4", "topk", "topk/1", "topk/4096"] {
            #expect(Codec(name: name)?.name == name)
        }
        #expect(Codec(name: "topk") == .topKUp)
        for name in [
            "", "RAW", "topk/", "topk/0", "topk/064", "topk/64", "topk/4097", "topk/-1", "raw/1",
            "int8/zstd", "int8/plain/", "topk/1/1", "fp32",
        ] {
            #expect(Codec(name: name) == nil, "\(name)")
        }
    }

    @Test("T14: no numbers, one zero and many come back as they are", arguments: Codec.lossy)
    func nothingAndZerosTravel(_ codec: Codec) throws {
        for count in [0, 1, 5000] {
            let zeros = FloatBuffer(count: count)
            let payload = try codec.encode(.gradient(zeros))
            #expect(payload.readableBytes <= 16 + 8 + 2 * count)
            #expect(try codec.decode(payload, count: count).array == zeros.array)
        }
    }

    @Test(
        "T14: what comes out is at most half a bin from what went in",
        arguments: [1, 127, 128, 129, 4096, 20_001])
    func errorIsAtMostHalfABin(_ count: Int) throws {
        var numbers = Numbers(seed: UInt64(count))
        let values = numbers.steep(count)
        for format in BlockFormat.allCases {
            let codec = Codec.dense(format, isCompressed: true)
            let back = try codec.decode(try codec.encode(.gradient(values)), count: count)
            for first in stride(from: 0, to: count, by: BlockFormat.blockCount) {
                let block = first..<min(first + BlockFormat.blockCount, count)
                let largest = values[block].array.map(\.magnitude).max() ?? 0
                for index in block {
                    let half = Self.halfBin(format, values[index], largest: largest)
                    let error = (values[index] - back[index]).magnitude
                    #expect(error <= half, "\(format) \(values[index]) of \(largest)")
                }
            }
        }
    }

    private static func halfBin(_ format: BlockFormat, _ value: Float, largest: Float) -> Float {
        switch format {
        case .bf16: value.magnitude * 0x1p-8
        // A scale is at most 2^-7 more than it must be, and the product is rounded.
        case .int8: largest / 127 * 0.5 * (1 + 0x1p-7 + 0x1p-20)
        case .int4: largest / 7 * 0.5 * (1 + 0x1p-7 + 0x1p-20)
        // Half of the way to the neighbour: a third of the upper, half of the lowest.
        case .fp4: max(value.magnitude / 3 * (1 + 0x1p-20), largest * 0x1p-7 / 0.75)
        }
    }

    /// A block or chunk of equal numbers has no deviation to take a scale from.
    @Test(
        "T14: a chunk of equal numbers and one of zeros come back between others",
        arguments: Codec.lossy, [Float(0.25), -3, 1e-3])
    func constantChunksComeBack(_ codec: Codec, value: Float) throws {
        let chunk = TopKSelection.chunkCount
        var numbers = Numbers(seed: 8)
        let values = numbers.steep(4 * chunk)
        values[chunk..<2 * chunk].fill(value)
        values[2 * chunk..<3 * chunk].clear()
        let back = try codec.decode(try codec.encode(.gradient(values)), count: values.count)
        #expect(back[2 * chunk..<3 * chunk].array.allSatisfy { $0 == 0 })
        let said = back[chunk..<2 * chunk].array
        switch codec {
        case .raw: Issue.record("raw is not lossy")
        case .dense(let format, _):
            let half = Self.halfBin(format, value, largest: value.magnitude)
            #expect((said[0] - value).magnitude <= half)
            #expect(said.allSatisfy { $0 == said[0] })
        case .topK(let kept):
            // A level has four bits behind its first one.
            #expect((said[0] - value).magnitude <= value.magnitude * 0x1p-5)
            #expect(said.prefix(kept).allSatisfy { $0 == said[0] })
            #expect(said.dropFirst(kept).allSatisfy { $0 == 0 })
        }
    }

    @Test(
        "T14: positions of all kinds come back, each with its own sign and a level",
        arguments: [1, 2, 64, 255, 256, 257, 4096])
    func selectionsComeBack(_ kept: Int) throws {
        let codec = Codec.topK(kept: kept)
        for count in [1, 63, 4095, 4096, 4097, 10_000] {
            var numbers = Numbers(seed: UInt64(count + kept))
            let values = numbers.steep(count)
            let back = try codec.decode(try codec.encode(.gradient(values)), count: count)
            let next = FloatBuffer(count: count)
            let selection = try #require(
                TopKSelection(Feedback(anchor: values), kept: kept, next: next))
            #expect(selection.positions.count == TopKSelection.count(kept: kept, of: count))
            for index in 0..<count {
                #expect(next[index] == values[index] - back[index])
            }
            let sent = back.array.filter { $0 != 0 }.count
            #expect(sent == selection.positions.count)
        }
    }

    @Test("T14: a number at any of a chunk's 4096 places comes back at its place")
    func everyPlaceComesBack() throws {
        let codec = Codec.topK(kept: 1)
        let chunk = TopKSelection.chunkCount
        let chunks = SegmentTable.segmentCount / chunk
        let values = FloatBuffer(count: SegmentTable.segmentCount)
        for first in stride(from: 0, to: chunk, by: chunks) {
            values.clear()
            for index in 0..<chunks {
                let place = first + index
                values[index * chunk + place] = place % 3 == 0 ? -0.5 : 1
            }
            let back = try codec.decode(try codec.encode(.gradient(values)), count: values.count)
            #expect(back.differenceSumOfSquares(to: values) == 0, "places from \(first) on")
        }
    }

    @Test("T14: of equals the first are taken")
    func tiesGoToTheLowestIndex() throws {
        let count = 5000
        let codec = Codec.topKUp
        for value in [Float(0.25), -3, 0x1p-126] {
            let equals = FloatBuffer([Float](repeating: value, count: count))
            let back = try codec.decode(try codec.encode(.gradient(equals)), count: count)
            // 904 of 4096 keep ceil(14.125).
            let expected = (0..<count).map { $0 < 64 || (4096..<4096 + 15).contains($0) }
            #expect(back.array.map { $0 != 0 } == expected)
            #expect(back[0] == value)
        }
    }

    @Test(
        "T14: a number that is not finite is refused, and leaves everything as it was",
        arguments: Codec.lossy)
    func notFiniteIsRefused(_ codec: Codec) throws {
        var numbers = Numbers(seed: 3)
        let values = numbers.steep(5000)
        var feedback = ErrorFeedback(count: 5000)
        _ = try feedback.encode(.gradient(values), with: codec)
        feedback.settle(.applied)
        let before = feedback.residual.duplicate()
        for bad in [Float.nan, .infinity, -.infinity, 0x1p126, -.greatestFiniteMagnitude] {
            for place in [0, 4500] {
                let broken = values.duplicate()
                broken[place] = bad
                let error = #expect(throws: CodecError.self) {
                    _ = try feedback.encode(.gradient(broken), with: codec)
                }
                #expect(error?.code == .notFinite)
                #expect(feedback.residual.isEqual(to: before))
            }
        }
        _ = try feedback.encode(.gradient(values), with: codec)
    }

    @Test(arguments: Codec.lossy)
    func denormalsAndExtremesTravel(_ codec: Codec) throws {
        let values = FloatBuffer(
            (0..<300).map {
                Float(sign: $0 % 2 == 0 ? .plus : .minus, exponent: $0 - 149 - 25, significand: 1)
            })
        let payload = try codec.encode(.gradient(values))
        try codec.check(payload, count: 300)
        let back = try codec.decode(payload, count: 300)
        #expect(back.allFinite)
        if codec == .bf16 { #expect(back[299 - 10] == values[299 - 10]) }
    }

    /// Two segments and a bit, each by whoever is free; one codec at a time, as all share the pool.
    @Test(
        "Any number of threads gives the same bytes, and makes the same of them", .serialized,
        arguments: [Codec.bf16, .int8, .int4, .fp4, .topKUp])
    func anyNumberOfThreadsGivesTheSameBytes(_ codec: Codec) throws {
        let count = 2 * SegmentTable.segmentCount + 5000
        var numbers = Numbers(seed: 5)
        let part = numbers.steep(5000)
        let values = FloatBuffer(count: count)
        for first in stride(from: 0, to: count - 5000, by: 50_000) {
            values[first..<first + 5000].copy(from: part)
        }
        values[count - 5000..<count].copy(from: part)
        defer { KernelThreads.set(1) }
        var payloads: [ByteBuffer] = []
        var sums: [[Double]] = []
        for threads in [1, 2, 3, 7] {
            KernelThreads.set(threads)
            let payload = try codec.encode(.gradient(values))
            payloads.append(payload)
            let sum = DoubleBuffer(count: count)
            try codec.accumulate(
                payload, kind: .local, anchor: values, weight: 0.3, into: sum)
            sums.append(sum.array)
        }
        #expect(payloads.allSatisfy { $0 == payloads[0] })
        #expect(sums.allSatisfy { $0 == sums[0] })
    }

    /// A sum takes what `decode` says, times the weight, in fp64.
    @Test(arguments: Codec.lossy)
    func sumsTakeWhatIsSaid(_ codec: Codec) throws {
        var numbers = Numbers(seed: 6)
        let (anchor, local) = (numbers.steep(9000), numbers.steep(9000))
        let payload = try codec.encode(
            .pseudoGradient(PseudoGradient(anchor: anchor, local: local)))
        let said = try codec.decode(payload, count: 9000)
        let sum = DoubleBuffer([Double](repeating: 0.125, count: 9000))
        try codec.accumulate(payload, kind: .local, anchor: anchor, weight: 0.7, into: sum)
        #expect(sum.array == said.array.map { 0.125 + 0.7 * Double($0) })
    }

    @Test(
        "What comes down is as dense as many sparse updates, and never sparser than topk's",
        arguments: [
            ("topk/1", "topk/144"), ("topk", "topk/144"), ("topk/65", "topk/146"),
            ("topk/256", "topk/576"), ("topk/4096", "topk/4096"), ("int4/plain", "int4/plain"),
        ])
    func automaticPulls(up: String, down: String) {
        var settings = RunSettings()
        settings.codec = up
        #expect(Codec.pulls(settings)?.name == down)
        settings.pulls.codec = "bf16"
        #expect(Codec.pulls(settings) == .bf16)
    }

    @Test func bitsAreFewEnough() throws {
        let count = 1 << 18
        var numbers = Numbers(seed: 7)
        let values = FloatBuffer(
            (0..<count).map { _ in (0..<6).reduce(Float(0)) { sum, _ in sum + numbers.next() } })
        let up = try Codec.topKUp.encode(.gradient(values)).readableBytes
        let down = try Codec.topKDown.encode(.gradient(values)).readableBytes
        #expect(Double(8 * up) / Double(count) < 0.150)
        #expect(Double(8 * down) / Double(count) < 0.295)
    }
}
