import Dispatch
import Synchronization
import Tensors

/// Runs of a comparison, each known by its place among them, that are made several at a time.
///
/// All of them share one bar that shows how far they are.
final class RunQueue: Sendable {
    private struct State {
        /// Places of runs that have not begun, the next one last.
        var waiting: [Int] = []
        /// Tokens trained on, by place.
        var trained: [Int]
        var failure: (any Error)?
    }

    /// Tokens that each run trains on.
    private let tokens: [Int]
    private let state: Mutex<State>
    private let bar = ProgressBar()

    init(tokens: [Int]) {
        self.tokens = tokens
        state = Mutex(State(trained: [Int](repeating: 0, count: tokens.count)))
    }

    /// Makes the runs at `places` in their order, `parallel` at a time, each on `threads` threads;
    /// after one that fails none begins, and its error is thrown when the others have ended.
    ///
    /// Threads of kernels are the process's: several runs at a time have one each.
    func make(
        _ places: Range<Int>, parallel: Int, threads: Int = 1,
        by make: @Sendable (_ place: Int) throws -> Void
    ) throws {
        precondition(parallel == 1 || threads == 1, "\(parallel) runs on \(threads) threads each")
        guard !places.isEmpty else { return }
        KernelThreads.set(threads)
        state.withLock { $0.waiting = places.reversed() }
        DispatchQueue.concurrentPerform(iterations: max(1, min(parallel, places.count))) { _ in
            while let place = state.withLock({ $0.waiting.popLast() }) {
                do { try make(place) } catch {
                    state.withLock {
                        $0.failure = $0.failure ?? error
                        $0.waiting = []
                    }
                }
            }
        }
        bar.clear()
        if let failure = state.withLock({ $0.failure }) { throw failure }
    }

    /// Shows that the run at `place` has trained on `trained` tokens.
    func show(_ trained: Int, at place: Int) {
        let done = state.withLock { state in
            state.trained[place] = min(trained, tokens[place])
            return state.trained.reduce(0, +)
        }
        bar.show("training", done: done, of: tokens.reduce(0, +))
    }

    /// Prints `line` where the bar was.
    func note(_ line: String) {
        bar.clear()
        Terminal.printNote(line)
    }
}
