import LocalSGD
import NIOCore
import Tensors
import Testing
import Wire

@testable import Codec
@testable import Roles

/// Replies to a pull that are not what they should be: an error, and nothing is lost by it.
@Suite("Hostile pulls")
struct HostilePullTests {
    private static let codec = Codec.topK(kept: 512)
    private static let module = 1

    private struct Case {
        let trainer: LocalTrainer
        let before: [Float]
        let shadow: FloatBuffer
        var deltas: [ByteBuffer] = []
        var checksum: UInt32 { Checksum.of(shadow) }
    }

    /// A trainer and what two versions have changed since the one that it has.
    private func twoVersions() async throws -> Case {
        let trainer = LocalTrainer(settings: SimulationTests.settings()) {
            QuadraticObjective(sequenceLength: 4)
        }
        let start = FloatBuffer(QuadraticObjective.start(Self.module))
        await trainer.adopt(start, module: Self.module)
        var shadow = BroadcastShadow(parameters: start.duplicate(), codec: Self.codec)
        var deltas: [ByteBuffer] = []
        for step in 1...2 {
            let target = start.duplicate()
            for index in 0..<target.count { target[index] += Float(step * index % 7) }
            deltas.append(try shadow.publish(target))
        }
        return Case(
            trainer: trainer, before: await trainer.anchor.array, shadow: shadow.parameters,
            deltas: deltas)
    }

    private func take(_ pulled: Case, _ deltas: [ByteBuffer]) async throws -> FloatBuffer {
        try await pulled.trainer.anchor(
            of: Self.module, after: deltas, codec: Self.codec, checksum: pulled.checksum)
    }

    @Test func goodDeltasLeadToTheShadowAndLeaveTheAnchor() async throws {
        let pulled = try await twoVersions()
        let parameters = try await take(pulled, pulled.deltas)
        #expect(parameters.array == pulled.shadow.array)
        #expect(await pulled.trainer.anchor.array == pulled.before)
    }

    @Test func badDeltasAreErrorsAndLoseNothing() async throws {
        let pulled = try await twoVersions()
        let good = pulled.deltas
        var cut = good[1]
        cut.moveWriterIndex(to: cut.writerIndex - 1)
        var damaged = good[1]
        damaged.setInteger(UInt8(0xff), at: damaged.writerIndex - 6)
        var other = good[1]
        other.setInteger(UInt8(1), at: 1)
        let bad: [[ByteBuffer]] = [
            [good[0], cut], [good[0], damaged], [good[0], other], [good[0], ByteBuffer()],
            // Of another base: one is missing, one is there twice, or the order is wrong.
            [], [good[0]], [good[1]], [good[0], good[1], good[1]],
        ]
        for deltas in bad {
            await #expect(throws: CodecError.self) { _ = try await take(pulled, deltas) }
            #expect(await pulled.trainer.anchor.array == pulled.before)
        }
    }

    @Test func lengthsMustBeThoseOfTheBulk() throws {
        func reply(_ lengths: [UInt32], arrays: UInt32 = 0, bytes: Int) throws -> PullReply {
            var message = Martlet_V1_PullReply()
            message.status = .present
            message.version = 9
            message.arrays = arrays
            message.deltaBytes = lengths
            return try PullReply(message, bulk: ByteBuffer(repeating: 0, count: bytes))
        }
        guard case .present(let pulled) = try reply([3, 0, 4], bytes: 7) else {
            Issue.record("a good reply is not read")
            return
        }
        #expect(pulled.deltas(from: 6)?.map(\.readableBytes) == [3, 0, 4])
        // As many deltas as versions, and none at all where arrays came.
        for base in [0, 5, 7, 9, 10, .max] as [UInt64] { #expect(pulled.deltas(from: base) == nil) }
        guard case .present(let full) = try reply([], arrays: 1, bytes: 7) else { return }
        #expect(full.deltas(from: 9) == nil)
        for lengths: [UInt32] in [
            [], [8], [3, 3], [.max, .max], [UInt32](repeating: 0, count: 65),
        ] {
            #expect(throws: WireError.self) { try reply(lengths, bytes: 7) }
        }
        #expect(throws: WireError.self) { try reply([7], arrays: 1, bytes: 7) }
    }

    @Test func versionsThatNoRunReachesAreRefused() throws {
        for version: UInt64 in [1 << 63, .max, 1 << 48 + 1] {
            var request = Martlet_V1_PullRequest()
            request.version = version
            #expect(throws: WireError.self) { try PullRequest(request, bulk: ByteBuffer()) }
            for status in [Martlet_V1_PullReply.Status.present, .gone] {
                var reply = Martlet_V1_PullReply()
                reply.status = status
                reply.version = version
                #expect(throws: WireError.self) { try PullReply(reply, bulk: ByteBuffer()) }
            }
        }
        var last = Martlet_V1_PullReply()
        last.status = .gone
        last.version = 1 << 48
        #expect(try PullReply(last, bulk: ByteBuffer()) == .gone(version: 1 << 48))
    }

    @Test func everyRequestAndReplySurvivesItsMessage() throws {
        let contents: [PullContent] = [
            .parameters, .gradient, .state, .checkpoint, .deltas(from: 41),
        ]
        for content in contents {
            let request = PullRequest(module: 3, version: 42, isExact: true, content: content)
            #expect(try PullRequest(request.message, bulk: ByteBuffer()) == request)
        }
        let replies: [PullReply] = [
            .notYet, .gone(version: 7),
            .present(PulledVersion(version: 9, checksum: 5, arrays: 1, bytes: ByteBuffer())),
            .present(
                PulledVersion(
                    version: 9, checksum: 5, deltaBytes: [2, 1],
                    bytes: ByteBuffer(bytes: [1, 2, 3]))),
        ]
        for reply in replies {
            #expect(try PullReply(reply.message, bulk: reply.bulk) == reply)
        }
    }

    @Test func onlyAWholeChainOfVersionsIsHandedOut() {
        var deltas = RecentDeltas()
        func add(_ version: UInt64, bytes: Int = 10) {
            deltas.append(
                ByteBuffer(repeating: UInt8(version), count: bytes), version: version,
                byteCountMax: 35)
        }
        for version in 5...7 as ClosedRange<UInt64> { add(version) }
        #expect(deltas.payloads(from: 7, to: 7) == [])
        #expect(deltas.payloads(from: 4, to: 7)?.count == 3)
        #expect(deltas.payloads(from: 6, to: 7) == [ByteBuffer(repeating: 7, count: 10)])
        #expect(deltas.payloads(from: 3, to: 7) == nil)
        #expect(deltas.payloads(from: 8, to: 7) == nil)
        #expect(deltas.payloads(from: 7, to: 8) == nil)
        #expect(deltas.payloads(from: 0, to: .max) == nil)
        // The oldest goes where all of them would be more than the parameters.
        add(8)
        #expect(deltas.payloads(from: 4, to: 8) == nil)
        #expect(deltas.payloads(from: 5, to: 8)?.count == 3)
        // A gap ends the chain.
        add(10)
        #expect(deltas.payloads(from: 8, to: 10) == nil)
        #expect(deltas.payloads(from: 9, to: 10)?.count == 1)
        deltas.clear()
        #expect(deltas.payloads(from: 9, to: 10) == nil)
    }
}
