import LocalSGD
import Tensors

/// Everything that `martlet up` and `martlet coordinator` can be told about a run.
///
/// The values here are the defaults. Names, ranges and one line of documentation of each key stand
/// in `ConfigurationTable`.
struct RunConfiguration: Sendable, Equatable {
    var name = "run"
    /// Empty: `runs/NAME`.
    var folder = ""
    /// Files and folders with the text to train on.
    var corpus: [String] = []
    var model = ModelSection()
    /// What every node of the run shares: seed, sequence length, codec, optimizers, rounds.
    var run = RunSettings()
    var heldOutFraction = 0.05
    var checkpointsKept = 3
    var cluster = ClusterSection()
    /// Empty: `status.sock` in the run folder.
    var statusSocket = ""

    /// The run folder, with the default filled in.
    var runFolder: String { folder.isEmpty ? "runs/\(name)" : folder }

    /// The status socket, with the default filled in.
    var statusSocketPath: String {
        statusSocket.isEmpty ? runFolder + "/status.sock" : statusSocket
    }

    /// The folder whose model the run begins with, if it begins with one.
    var modelFolder: String? { model.from.isEmpty ? nil : model.from }

    /// Whether the run learns masks, for which its model needs mask routers.
    var learnsMasks: Bool { run.masks.isOn }
}

/// The shape of the model, or where it comes from.
struct ModelSection: Sendable, Equatable {
    /// Path of the checkpoint folder that the run begins with; empty: fresh, of the shape below.
    var from = ""
    var hiddenSize = 128
    var layers = 4
    var heads = 4
    var kvHeads = 2
    var headDimension = 32
    var experts = 8
    var expertsPerToken = 2
    var expertHiddenSize = 256
    /// 0: no shared expert.
    var sharedExpertHiddenSize = 0
    var qkNorm = true
    var normalizeTopK = true
    var ropeTheta = 10_000.0
    var tieEmbeddings = true
    var loadBalancingCoefficient = 0.01
}

/// The processes of a local cluster.
struct ClusterSection: Sendable, Equatable {
    var shards = 2
    var host = "127.0.0.1"
    /// First of consecutive ports; 0 lets the system choose.
    var port = 0
    var workers = [WorkerSection](numbered: 1...3)
    var heartbeatSeconds = 1.0
}

/// One worker of a local cluster.
struct WorkerSection: Sendable, Equatable {
    var name: String
    /// Share of full speed, above 0 and up to 1.
    var throttle = 1.0
    var threads = 1
    var precision = Precision.fp32
    /// Whether the backward pass computes activations again.
    var recomputes = false
}

extension [WorkerSection] {
    /// Workers `worker-N` at full speed, one thread each.
    init(numbered range: ClosedRange<Int>) {
        self = range.map { WorkerSection(name: "worker-\($0)") }
    }
}
