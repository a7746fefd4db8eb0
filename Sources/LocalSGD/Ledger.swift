/// Who trains on which sequences. Every sequence of the run's endless stream is leased to one
/// worker at a time; what a lost worker did not use goes to the next who asks.

/// Sequence numbers leased together, as consecutive runs.
package struct Lease: Sendable, Equatable, Codable {
    package var runs: [Range<UInt64>]

    package init(runs: [Range<UInt64>]) { self.runs = runs }

    /// Number of sequences.
    package var count: Int { runs.reduce(0) { $0 + Int($1.upperBound - $1.lowerBound) } }

    /// The sequences one by one.
    package var sequences: [UInt64] { runs.flatMap { Array($0) } }

    /// Whether the first sequences are those of `other`, in order.
    package func begins(with other: Lease) -> Bool {
        part(0..<other.count).sequences == other.sequences
    }

    /// The sequences at `range`, counted from the start of the lease.
    package func part(_ range: Range<Int>) -> Lease {
        var parts: [Range<UInt64>] = []
        var start = 0
        for run in runs {
            let length = Int(run.upperBound - run.lowerBound)
            let low = max(range.lowerBound - start, 0)
            let high = min(range.upperBound - start, length)
            if low < high {
                parts.append(run.lowerBound + UInt64(low)..<run.lowerBound + UInt64(high))
            }
            start += length
        }
        return Lease(runs: parts)
    }
}

/// The account of all leases.
///
/// Invariant: every sequence below `next` is used, in `open`, or in `returned`, and in only one.
package struct Ledger: Sendable, Equatable, Codable {
    /// First sequence that was never leased.
    package private(set) var next: UInt64 = 0
    /// Leased and not used, ascending.
    package private(set) var returned: [Range<UInt64>] = []
    /// Leases under way, by worker.
    package private(set) var open: [String: Lease] = [:]

    package init() {}

    /// Leases `count` sequences to `worker`, who must hold no lease: returned ones first.
    package mutating func issue(_ count: Int, to worker: String) -> Lease {
        precondition(open[worker] == nil, "\(worker) holds a lease already")
        var runs: [Range<UInt64>] = []
        var missing = UInt64(count)
        while missing > 0, let run = returned.first {
            let taken = min(missing, UInt64(run.count))
            runs.append(run.lowerBound..<run.lowerBound + taken)
            missing -= taken
            if taken == UInt64(run.count) {
                returned.removeFirst()
            } else {
                returned[0] = run.lowerBound + taken..<run.upperBound
            }
        }
        if missing > 0 {
            runs.append(next..<next + missing)
            next += missing
        }
        let lease = Lease(runs: runs)
        open[worker] = lease
        return lease
    }

    /// Closes the lease of `worker`: used up, or returned for others to take.
    package mutating func close(_ worker: String, used: Bool) {
        guard let lease = open.removeValue(forKey: worker), !used else { return }
        returned += lease.runs
        returned.sort { $0.lowerBound < $1.lowerBound }
    }

    /// Closes the lease of `worker`, of which the first `count` sequences are used up.
    package mutating func close(_ worker: String, used count: Int) {
        guard let lease = open.removeValue(forKey: worker) else { return }
        returned += lease.part(min(count, lease.count)..<lease.count).runs
        returned.sort { $0.lowerBound < $1.lowerBound }
        // Round by round the rest of a lease comes back; side by side they are one run again.
        returned = returned.reduce(into: []) { runs, run in
            if let last = runs.last, last.upperBound == run.lowerBound {
                runs[runs.count - 1] = last.lowerBound..<run.upperBound
            } else {
                runs.append(run)
            }
        }
    }

    /// Takes the first `count` sequences of the lease of `worker` as used up; it keeps the rest, of
    /// which it may have used some for its next round.
    package mutating func carryOver(_ worker: String, used count: Int) {
        guard let lease = open[worker] else { return }
        open[worker] = lease.part(min(count, lease.count)..<lease.count)
    }

    /// Leases at least `count` sequences to `worker`, first what it has carried over.
    package mutating func renew(_ worker: String, to count: Int) -> Lease {
        guard open[worker] != nil else { return issue(count, to: worker) }
        extend(worker, to: count)
        return open[worker] ?? Lease(runs: [])
    }

    /// Makes the lease of `worker` at least `count` sequences long; what it holds stays in place.
    package mutating func extend(_ worker: String, to count: Int) {
        guard let held = open[worker], held.count < count else { return }
        open[worker] = nil
        let more = issue(count - held.count, to: worker)
        open[worker] = Lease(runs: held.runs + more.runs)
    }

    /// The account as it stands once everything under way is given back: what a checkpoint keeps.
    package var settled: Ledger {
        var copy = self
        for worker in open.keys.sorted() { copy.close(worker, used: false) }
        return copy
    }
}
