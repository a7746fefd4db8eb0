/// Which remote calls exist. A call travels as a number from this table and nothing else is ever
/// dispatched: a target name taken from the wire could name a method of another actor type, which
/// would crash the process.

/// One distributed method.
package struct Method: Sendable {
    /// Its number on the wire; never reused.
    package let id: UInt16
    /// Its name for people: `Coordinator.join`.
    package let name: String
    /// The compiler's name of it, which the runtime dispatches by.
    package let target: String
    /// Which roles may call it.
    package let callers: Set<Role>
    /// Calls whose argument or result carries a tensor go by the bulk lane.
    package let lane: Lane
    /// How long a caller waits.
    package let deadline: Duration

    package init(
        id: UInt16, name: String, target: String, callers: Set<Role>, lane: Lane = .control,
        deadline: Duration = .seconds(10)
    ) {
        self.id = id
        self.name = name
        self.target = target
        self.callers = callers
        self.lane = lane
        self.deadline = deadline
    }
}

/// All distributed methods of all roles.
package struct MethodTable: Sendable {
    private let byID: [UInt16: Method]
    private let byTarget: [String: Method]

    package init(_ methods: [Method]) {
        byID = Dictionary(uniqueKeysWithValues: methods.map { ($0.id, $0) })
        byTarget = Dictionary(uniqueKeysWithValues: methods.map { ($0.target, $0) })
    }

    package func method(id: UInt16) -> Method? { byID[id] }

    package func method(target: String) -> Method? { byTarget[target] }
}
