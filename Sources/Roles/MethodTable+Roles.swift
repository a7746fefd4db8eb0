package import Cluster

extension MethodTable {
    /// Every remote call of the three roles.
    ///
    /// Numbers are for ever; the targets are the compiler's names of the methods, which change with
    /// a method's signature. A call that is missing here stops the caller at once, in the first
    /// test that makes it, with the name to enter.
    package static let roles = MethodTable([
        // Coordinator
        Method(
            id: 1, name: "Coordinator.join",
            target: "$s5Roles11CoordinatorC4joinyAA9JoinReplyOAA0D7RequestVYaKFTE",
            callers: [.worker, .shard]),
        Method(
            id: 2, name: "Coordinator.ask",
            target: "$s5Roles11CoordinatorC3asky8LocalSGD10AssignmentOAA10AskRequestVYaKFTE",
            callers: [.worker]),
        Method(
            id: 3, name: "Coordinator.sequences",
            target: "$s5Roles11CoordinatorC9sequencesyAA10TokenBatchVAA15SequenceRequestVYaKFTE",
            callers: [.worker], lane: .bulk, deadline: .seconds(30)),
        Method(
            id: 4, name: "Coordinator.heartbeat",
            target: "$s5Roles11CoordinatorC9heartbeatyAA14HeartbeatReplyV8LocalSGD0D0VYaKFTE",
            callers: [.worker, .shard], deadline: .milliseconds(1500)),
        Method(
            id: 5, name: "Coordinator.evaluated",
            target:
                "$s5Roles11CoordinatorC9evaluatedy4Wire7NothingV8LocalSGD16EvaluationReportVYaKFTE",
            callers: [.worker]),
        Method(
            id: 6, name: "Coordinator.closed",
            target: "$s5Roles11CoordinatorC6closedy4Wire7NothingV8LocalSGD12RoundClosingVYaKFTE",
            callers: [.shard]),
        Method(
            id: 7, name: "Coordinator.allow",
            target: "$s5Roles11CoordinatorC5allowy8LocalSGD9AllowanceVAA0F7RequestVYaKFTE",
            callers: [.worker]),
        // ShardServer
        Method(
            id: 32, name: "ShardServer.install",
            target: "$s5Roles11ShardServerC7instally4Wire7NothingVAA13ModuleInstallVYaKFTE",
            callers: [.coordinator], lane: .bulk, deadline: .seconds(60)),
        Method(
            id: 33, name: "ShardServer.open",
            target: "$s5Roles11ShardServerC4openy4Wire7NothingV8LocalSGD12RoundOpeningVYaKFTE",
            callers: [.coordinator]),
        Method(
            id: 34, name: "ShardServer.remove",
            target: "$s5Roles11ShardServerC6removey4Wire7NothingVAA7RemovalVYaKFTE",
            callers: [.coordinator]),
        Method(
            id: 35, name: "ShardServer.stop",
            target: "$s5Roles11ShardServerC4stopy4Wire7NothingVAA11StopRequestVYaKFTE",
            callers: [.coordinator]),
        Method(
            id: 36, name: "ShardServer.push",
            target: "$s5Roles11ShardServerC4pushy8LocalSGD11PushOutcomeOAA0G0VYaKFTE",
            callers: [.worker], lane: .bulk, deadline: .seconds(60)),
        Method(
            id: 37, name: "ShardServer.pull",
            target: "$s5Roles11ShardServerC4pullyAA9PullReplyOAA0E7RequestVYaKFTE",
            callers: [.worker, .coordinator], lane: .bulk, deadline: .seconds(60)),
        // Worker
        Method(
            id: 64, name: "Worker.drain",
            target: "$s5Roles6WorkerC5drainy4Wire7NothingVAA12DrainRequestVYaKFTE",
            callers: [.coordinator]),
    ])
}
