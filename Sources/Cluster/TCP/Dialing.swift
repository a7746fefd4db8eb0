internal import Synchronization

/// Who has been found at which address, and whose turn it is to look.
///
/// Calls that need the same node at the same time make one connection: the first looks, the others
/// wait and find it.
final class Dialing: Sendable {
    private struct Entry {
        var peer: NodeID?
        var isDialed = false
        var waiting: [CheckedContinuation<Void, Never>] = []
    }

    private let entries = Mutex<[Address: Entry]>([:])

    /// The node last found at `address`, connected or not any more.
    func peer(at address: Address) -> NodeID? { entries.withLock { $0[address]?.peer } }

    /// Notes who was found at `address`.
    func note(_ peer: NodeID, at address: Address) {
        entries.withLock { $0[address, default: Entry()].peer = peer }
    }

    /// Returns when nobody else is looking at `address`; ``leave(_:)`` must follow.
    func enter(_ address: Address) async {
        await withCheckedContinuation { continuation in
            let isFree = entries.withLock { entries in
                var entry = entries[address] ?? Entry()
                let isFree = !entry.isDialed
                if isFree { entry.isDialed = true } else { entry.waiting.append(continuation) }
                entries[address] = entry
                return isFree
            }
            if isFree { continuation.resume() }
        }
    }

    func leave(_ address: Address) {
        let next = entries.withLock { entries -> CheckedContinuation<Void, Never>? in
            guard entries[address]?.waiting.isEmpty == false else {
                entries[address]?.isDialed = false
                return nil
            }
            return entries[address]?.waiting.removeFirst()
        }
        next?.resume()
    }
}
