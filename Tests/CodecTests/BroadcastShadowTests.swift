import NIOCore
import Tensors
import Testing

@testable import Codec

/// All workers have what the server thinks they have.
@Suite struct BroadcastShadowTests {
    @Test(
        "T15: every worker has the shadow bit for bit, also who came late, and it stays near",
        arguments: [Codec.topKDown, .int4, .bf16])
    func everyWorkerHasTheShadow(_ codec: Codec) throws {
        let count = 6000
        var numbers = Numbers(seed: 1)
        let target = numbers.steep(count)
        var shadow = BroadcastShadow(parameters: target.duplicate(), codec: codec)
        var workers = [target.duplicate(), target.duplicate()]
        var distances: [Double] = []
        for round in 0..<60 {
            let step = numbers.steep(count)
            for index in 0..<count { target[index] -= 0.1 * step[index] }
            let payload = try shadow.publish(target)
            // One that joins takes all of S instead, after this payload.
            for worker in workers {
                try BroadcastShadow.receive(payload, codec: codec, parameters: worker)
            }
            if round == 20 { workers.append(shadow.parameters.duplicate()) }
            for worker in workers { #expect(worker.isEqual(to: shadow.parameters)) }
            distances.append(target.differenceSumOfSquares(to: shadow.parameters).squareRoot())
        }
        // It stays where it was after the first rounds, although the target moves on and on.
        let early = try #require(distances[20..<40].max())
        let late = try #require(distances[40..<60].max())
        #expect(late <= 1.1 * early)
    }

    @Test func badPayloadsChangeNothing() throws {
        var numbers = Numbers(seed: 2)
        let values = numbers.steep(5000)
        var shadow = BroadcastShadow(parameters: values, codec: .topKUp)
        let target = numbers.steep(5000)
        let payload = try shadow.publish(target)
        let worker = values.duplicate()
        var cut = payload
        cut.moveWriterIndex(to: payload.writerIndex - 1)
        #expect(throws: CodecError.self) {
            try BroadcastShadow.receive(cut, codec: .topKUp, parameters: worker)
        }
        #expect(worker.isEqual(to: values))
        target[77] = .nan
        let before = shadow.parameters.duplicate()
        #expect(throws: CodecError.self) { _ = try shadow.publish(target) }
        #expect(shadow.parameters.isEqual(to: before))
    }
}
