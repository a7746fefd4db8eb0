import FoundationEssentials
import Tensors

/// What `martlet bench train` prints.
struct TrainReport: Encodable, Sendable {
    var size: String
    var dtype: String
    var threads: Int
    var steps: Int
    var parameters: Int
    var tokensPerStep: Int
    /// Of the median step.
    var tokensPerS: Double
    /// Of the fastest step.
    var tokensPerSBest: Double
    /// Of the median step, by the model's own operations: recomputation is not counted.
    var gflops: Double
    /// Medians.
    var forwardMs: Double
    var backwardMs: Double
    var optimizerMs: Double
    var peakRssBytes: Int
    /// Memory planned for activations.
    var activationBytes: Int
    var modelFlopsPerToken: Double
    var firstLoss: Double
    var lastLoss: Double

    init(_ plan: TrainBenchmark.Plan, _ result: TrainBenchmark.Result) {
        size = plan.size.rawValue
        dtype = plan.precision.rawValue
        threads = plan.threads
        steps = result.forward.count
        parameters = result.parameters
        tokensPerStep = result.tokensPerStep
        let steps = zip(zip(result.forward, result.backward), result.optimizer).map {
            ($0.0 + $0.1 + $1).seconds
        }
        tokensPerS = Double(result.tokensPerStep) / steps.median
        tokensPerSBest = Double(result.tokensPerStep) / (steps.min() ?? .nan)
        gflops = tokensPerS * result.flopsPerToken * 1e-9
        forwardMs = result.forward.map(\.seconds).median * 1e3
        backwardMs = result.backward.map(\.seconds).median * 1e3
        optimizerMs = result.optimizer.map(\.seconds).median * 1e3
        peakRssBytes = ProcessMemory.peakBytes
        activationBytes = result.activationBytes
        modelFlopsPerToken = result.flopsPerToken
        firstLoss = result.firstLoss
        lastLoss = result.lastLoss
    }
}

/// The memory of this process.
enum ProcessMemory {
    /// The most that was resident at a time, as Linux tells it; 0 elsewhere.
    static var peakBytes: Int {
        guard let status = try? String(contentsOfFile: "/proc/self/status", encoding: .utf8) else {
            return 0
        }
        let line = status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
        let kibibytes = line?.split(whereSeparator: \.isWhitespace).dropFirst().first
        return 1024 * (kibibytes.flatMap { Int($0) } ?? 0)
    }
}

extension Encodable {
    /// One line of JSON with snake-case keys in the order of their names.
    func jsonLine() throws -> String {
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(self), as: UTF8.self)
    }
}

extension Duration {
    var seconds: Double { Double(components.seconds) + Double(components.attoseconds) * 1e-18 }
}

extension [Double] {
    /// The middle value; of an even number the upper of the two.
    var median: Double { isEmpty ? .nan : sorted()[count / 2] }
}
