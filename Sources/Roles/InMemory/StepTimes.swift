internal import Cluster
internal import Synchronization

/// How long the inner steps of a simulated worker take: a time of its own, and now and then a
/// stall, drawn from a seed.
///
/// The same seed gives the same times whatever happens between the steps, so that methods are
/// compared on the same machines.
package final class StepTimes: Sendable {
    /// What a machine is like.
    package struct Machine: Sendable, Equatable {
        /// A step without a stall.
        package var step: Duration
        /// Chance that a step stalls, and for how long it then does.
        package var stallChance: Double
        package var stall: Duration

        package init(step: Duration, stallChance: Double = 0, stall: Duration = .zero) {
            self.step = step
            self.stallChance = stallChance
            self.stall = stall
        }
    }

    private struct State {
        var generator: SeededGenerator
        var steps = 0
        var busy: Duration = .zero
    }

    private let machine: Machine
    private let state: Mutex<State>

    package init(_ machine: Machine, seed: UInt64) {
        self.machine = machine
        state = Mutex(State(generator: SeededGenerator(seed: seed)))
    }

    /// Steps taken, and the time they took in all.
    package var total: (steps: Int, busy: Duration) { state.withLock { ($0.steps, $0.busy) } }

    /// The time of one more step.
    package func next() -> Duration {
        state.withLock { state in
            let isStalled = state.generator.unit() < machine.stallChance
            let time = machine.step + (isStalled ? machine.stall : .zero)
            state.steps += 1
            state.busy += time
            return time
        }
    }
}

extension StepTimes: Equatable {
    package static func == (left: StepTimes, right: StepTimes) -> Bool { left === right }
}
