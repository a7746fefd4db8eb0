import Status
import Synchronization

/// How far a command is, on one line of standard error that is drawn over itself.
///
/// Only where standard error is a terminal; several threads may show at once.
final class ProgressBar: Sendable {
    /// Shortest time between two drawings.
    private static let interval: Duration = .milliseconds(100)
    /// Cells of the bar.
    private static let cells = 30

    private struct State {
        var begun: ContinuousClock.Instant
        var drawn: ContinuousClock.Instant?
        var verb = ""
    }

    private let isShown = Terminal.errorIsTerminal
    private let clock = ContinuousClock()
    private let state: Mutex<State>

    init() { state = Mutex(State(begun: ContinuousClock().now)) }

    /// Shows that `done` of `total`, in any unit, are through `verb`.
    func show(_ verb: String, done: Int, of total: Int) {
        guard isShown else { return }
        let now = clock.now
        let line = state.withLock { state -> String? in
            if state.verb != verb {
                state.verb = verb
                state.begun = now
                state.drawn = nil
            }
            if let drawn = state.drawn, now - drawn < Self.interval { return nil }
            state.drawn = now
            let share = min(1, Double(done) / Double(max(total, 1)))
            return Self.line(verb, share: share, seconds: (now - state.begun) / .seconds(1))
        }
        if let line { Terminal.printToError("\r\u{1B}[K\(line)") }
    }

    /// Takes the line away.
    func clear() {
        guard isShown else { return }
        let wasDrawn = state.withLock { $0.drawn != nil }
        if wasDrawn { Terminal.printToError("\r\u{1B}[K") }
    }

    private static func line(_ verb: String, share: Double, seconds: Double) -> String {
        let filled = Int((share * Double(cells)).rounded(.down))
        let bar =
            String(repeating: "#", count: filled) + String(repeating: ".", count: cells - filled)
        let percent = Figures.fixed(share * 100, digits: 0)
        let left = share > 0 ? ", \(Figures.duration(seconds / share - seconds)) left" : ""
        return "[\(bar)] \(verb) \(percent) %\(left)"
    }
}
