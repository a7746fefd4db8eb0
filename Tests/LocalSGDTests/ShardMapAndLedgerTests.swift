import LocalSGD
import Testing

@Suite("Shard map")
struct ShardMapTests {
    @Test("Every module has one owner and the load is even")
    func placement() {
        let sizes = [70, 10, 60, 20, 50, 30, 40]
        let map = ShardMap(placing: sizes, on: ["b", "a", "c"])
        #expect(map.shards == ["a", "b", "c"])
        let modules = map.shards.flatMap { map.modules(of: $0) }
        #expect(modules.sorted() == Array(0..<7))
        let loads = map.shards.map { map.modules(of: $0).reduce(0) { $0 + sizes[$1] } }
        #expect((loads.max() ?? 0) - (loads.min() ?? 0) <= 10)
    }

    @Test("The order in which servers are named does not matter")
    func order() {
        let sizes = [5, 5, 5, 9, 1]
        #expect(
            ShardMap(placing: sizes, on: ["x", "y"]) == ShardMap(placing: sizes, on: ["y", "x"]))
    }
}

@Suite("Ledger")
struct LedgerTests {
    @Test("What is given back is leased again first, and nothing is leased twice")
    func returned() {
        var ledger = Ledger()
        #expect(ledger.issue(10, to: "a").runs == [0..<10])
        #expect(ledger.issue(10, to: "b").runs == [10..<20])
        ledger.close("a", used: false)
        ledger.close("b", used: true)
        #expect(ledger.issue(4, to: "c").runs == [0..<4])
        #expect(ledger.issue(10, to: "d").runs == [4..<10, 20..<24])
        #expect(ledger.next == 24)
    }

    @Test("What is left of a lease goes to the next; a lease that is used up grows in its place")
    func partlyUsed() {
        var ledger = Ledger()
        _ = ledger.issue(10, to: "a")
        _ = ledger.issue(10, to: "b")
        ledger.extend("a", to: 14)
        #expect(ledger.open["a"]?.runs == [0..<10, 20..<24])
        ledger.extend("a", to: 3)
        #expect(ledger.open["a"]?.count == 14)
        ledger.close("b", used: 4)
        ledger.close("a", used: 12)
        #expect(ledger.returned == [14..<20, 22..<24])
        _ = ledger.issue(2, to: "c")
        ledger.close("c", used: 0)
        #expect(ledger.returned == [14..<20, 22..<24])
        ledger.close("c", used: 5)
        #expect(ledger.issue(9, to: "d").runs == [14..<20, 22..<24, 24..<25])
    }

    @Test("Closing twice changes nothing")
    func twice() {
        var ledger = Ledger()
        _ = ledger.issue(3, to: "a")
        ledger.close("a", used: false)
        ledger.close("a", used: false)
        #expect(ledger.returned == [0..<3])
    }

    @Test("A settled ledger leases the same sequences to the same workers again")
    func settled() {
        var ledger = Ledger()
        let before = ["a", "b"].map { ledger.issue(5, to: $0) }
        var resumed = ledger.settled
        #expect(["a", "b"].map { resumed.issue(5, to: $0) } == before)
    }

    @Test("Parts of a lease in several runs")
    func parts() {
        let lease = Lease(runs: [0..<3, 10..<15])
        #expect(lease.count == 8)
        #expect(lease.part(0..<2).runs == [0..<2])
        #expect(lease.part(2..<5).runs == [2..<3, 10..<12])
        #expect(lease.part(5..<8).runs == [12..<15])
    }
}
