import Cluster
import Distributed
import Logging
import Roles

/// The process behind `martlet shard`.
enum ShardProcess {
    static func run(_ launch: ShardLaunch) async throws {
        let stops = await StopRequests.listen(lifeline: launch.hasLifeline)
        let logger = Logger(label: "shard")
        let identity = try ProcessIdentity.load(launch.identity, role: .shard)
        let incarnation = ProcessIdentity.incarnation()
        let transport = try await TCPTransport.bind(
            identity: identity, listen: launch.listen, incarnation: incarnation, logger: logger)
        let clock = MonotonicClock()
        let system = ClusterSystem(
            transport: transport, clock: clock, methods: .roles, logger: logger)
        let shard = ShardServer(
            ShardEnvironment(
                coordinator: launch.coordinator,
                address: transport.boundAddress ?? launch.listen, incarnation: incarnation,
                clock: clock, logger: logger),
            actorSystem: system)
        let reason = try await RoleLife.run(system, until: stops) {
            try await shard.whenLocal { try await $0.serve() } ?? "gone"
        }
        logger.notice("ends: \(reason)")
        await transport.close()
    }
}
