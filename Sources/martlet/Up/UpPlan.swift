import Cluster
import FoundationEssentials
import Status
import Tensors
import Wire

/// The processes of a local cluster and how each is started.
///
/// Pure: it starts nothing.
struct UpPlan: Sendable {
    let configuration: RunConfiguration
    let folder: RunFolder
    let resumes: Bool
    /// The folder for workers' time lines, if they are wanted.
    var timelines: String?

    var coordinator: NodeID { NodeID(role: .coordinator, name: "coordinator") }

    var shards: [NodeID] {
        (1...configuration.cluster.shards).map { NodeID(role: .shard, name: "shard-\($0)") }
    }

    var workers: [NodeID] {
        configuration.cluster.workers.map { NodeID(role: .worker, name: $0.name) }
    }

    var nodes: [NodeID] { [coordinator] + shards + workers }

    /// Arguments of the coordinator's process.
    var coordinatorArguments: [String] {
        [
            "coordinator", "--config", folder.configuration,
            "--identity", folder.identity(of: coordinator),
            "--listen", address(port: configuration.cluster.port),
            "--status", configuration.statusSocketPath, "--lifeline",
        ] + (resumes ? ["--resume"] : [])
    }

    /// Arguments of another node's process, once the coordinator listens at `address`.
    func arguments(of node: NodeID, coordinator address: String) -> [String] {
        let common = ["--coordinator", address, "--identity", folder.identity(of: node)]
        if let index = shards.firstIndex(of: node) {
            let port = configuration.cluster.port
            let listen = self.address(port: port == 0 ? 0 : port + 1 + index)
            return ["shard"] + common + ["--listen", listen, "--lifeline"]
        }
        let worker = configuration.cluster.workers.first { $0.name == node.name }
        return ["worker"] + common + [
            "--throttle", "\(worker?.throttle ?? 1)", "--threads", "\(worker?.threads ?? 1)",
            "--dtype", (worker?.precision ?? .fp32).rawValue,
            "--state", "\(folder.workers)/\(node.name)", "--lifeline",
        ] + (worker?.recomputes == true ? ["--recompute"] : [])
            + (timelines.map { ["--timeline", "\($0)/\(node.name).json"] } ?? [])
    }

    /// The environment of children: without configuration keys, for the resolved configuration
    /// already holds them and flags must not lose against them a second time.
    static func environment(from own: [String: String]) -> [String: String] {
        let variables = Set(ConfigurationTable.keys.map(\.environmentVariable))
        return own.filter { !variables.contains($0.key) }
    }

    private func address(port: Int) -> String {
        Address(host: configuration.cluster.host, port: port).description
    }
}

extension NodeID {
    /// The node in a message for a person.
    var title: String { Martlet_V1_Member.title(role: role.rawValue, name: name) }
}
