import Testing

@testable import Cluster

@Suite struct TCPPeerTableTests {
    private let anna = NodeID(role: .worker, name: "anna")
    private let lead = NodeID(role: .coordinator, name: "lead")
    private let zoe = NodeID(role: .worker, name: "zoe")

    private func connected(
        _ peer: NodeID, incarnation: UInt64 = 5, local: NodeID? = nil
    ) -> PeerTable {
        var table = PeerTable(local: local ?? lead)
        _ = table.step(.hello(peer, incarnation: incarnation, .control, 1))
        _ = table.step(.hello(peer, incarnation: incarnation, .bulk, 2))
        return table
    }

    @Test func bothLanesMakeAPeer() {
        var table = PeerTable(local: lead)
        #expect(table.step(.hello(anna, incarnation: 5, .bulk, 1)) == [.accept(1)])
        #expect(!table.isConnected(anna))
        #expect(
            table.step(.hello(anna, incarnation: 5, .control, 2)) == [
                .connected(anna, incarnation: 5, [.bulk: 1, .control: 2]), .accept(2),
            ])
        #expect(table.isConnected(anna))
    }

    @Test func dialingMakesAPeer() {
        var table = PeerTable(local: anna)
        #expect(table.step(.dialed(lead, .control, 1)) == [.accept(1)])
        #expect(table.step(.welcomed(lead, incarnation: 9, .control, 1)) == [])
        #expect(table.step(.dialed(lead, .bulk, 2)) == [.accept(2)])
        #expect(
            table.step(.welcomed(lead, incarnation: 9, .bulk, 2)) == [
                .connected(lead, incarnation: 9, [.control: 1, .bulk: 2])
            ])
        #expect(table.step(.dialed(lead, .control, 3)) == [.surplus(3)])
    }

    @Test(arguments: [1, 2] as [UInt64])
    func eitherLaneIsTheLoss(_ closing: UInt64) {
        var table = connected(anna)
        #expect(
            table.step(.closed(closing, reason: "cut")) == [
                .close(3 - closing, reason: "cut"), .lost(anna, reason: "cut"),
            ])
        #expect(table.step(.closed(3 - closing, reason: "cut")) == [])
        #expect(!table.isConnected(anna))
        #expect(table.known.isEmpty)
    }

    @Test func aHalfConnectedPeerIsNotLost() {
        var table = PeerTable(local: lead)
        _ = table.step(.hello(anna, incarnation: 5, .control, 1))
        #expect(table.step(.closed(1, reason: "cut")) == [])
        #expect(table.known.isEmpty)
    }

    @Test func aNewerLifeReplaces() {
        var table = connected(anna)
        let actions = table.step(.hello(anna, incarnation: 6, .control, 3))
        let reason = "a newer connection of worker/anna replaces it"
        #expect(
            actions == [
                .close(1, reason: reason), .close(2, reason: reason), .lost(anna, reason: reason),
                .accept(3),
            ])
        #expect(table.step(.closed(1, reason: "")) == [])
        #expect(table.step(.hello(anna, incarnation: 6, .bulk, 4)).count == 2)
    }

    @Test(arguments: [4, 5] as [UInt64])
    func anOlderOrEqualLifeIsRefused(_ incarnation: UInt64) {
        var table = connected(anna)
        for lane in Lane.allCases {
            let actions = table.step(.hello(anna, incarnation: incarnation, lane, 3))
            guard case .refuse(3, _)? = actions.first, actions.count == 1 else {
                Issue.record("\(actions)")
                continue
            }
        }
        #expect(table.isConnected(anna))
    }

    @Test func whoDialsEachOtherKeepsTheSmallersDial() {
        // anna < zoe
        var atAnna = PeerTable(local: anna)
        _ = atAnna.step(.dialed(zoe, .control, 1))
        let refused = atAnna.step(.hello(zoe, incarnation: 1, .control, 2))
        #expect(refused == [.refuse(2, reason: "worker/anna is connecting to worker/zoe already")])
        var atZoe = PeerTable(local: zoe)
        _ = atZoe.step(.dialed(anna, .control, 1))
        let reason = "a newer connection of worker/anna replaces it"
        #expect(
            atZoe.step(.hello(anna, incarnation: 1, .control, 2)) == [
                .close(1, reason: reason), .accept(2),
            ])
        #expect(
            atZoe.step(.welcomed(anna, incarnation: 1, .control, 1)) == [
                .close(1, reason: "replaced by another connection")
            ])
    }

    @Test func aRestartBetweenTheLanesIsNoticed() {
        var table = PeerTable(local: anna)
        _ = table.step(.dialed(lead, .control, 1))
        _ = table.step(.welcomed(lead, incarnation: 1, .control, 1))
        _ = table.step(.dialed(lead, .bulk, 2))
        let reason = "coordinator/lead was restarted while it was being connected"
        #expect(
            table.step(.welcomed(lead, incarnation: 2, .bulk, 2)) == [
                .close(1, reason: reason), .close(2, reason: reason),
            ])
        #expect(table.known.isEmpty)
    }

    @Test func aWithdrawnLaneLeavesTheOther() {
        var table = PeerTable(local: anna)
        _ = table.step(.dialed(lead, .control, 1))
        _ = table.step(.welcomed(lead, incarnation: 1, .control, 1))
        _ = table.step(.dialed(lead, .bulk, 2))
        #expect(table.step(.withdrawn(2)) == [])
        #expect(table.step(.closed(2, reason: "")) == [])
        #expect(table.step(.dialed(lead, .bulk, 3)) == [.accept(3)])
        #expect(table.step(.welcomed(lead, incarnation: 1, .bulk, 3)).count == 1)
        var other = PeerTable(local: anna)
        _ = other.step(.dialed(lead, .control, 1))
        _ = other.step(.withdrawn(1))
        #expect(other.known.isEmpty)
    }

    @Test func givingUpEndsHalfADialAndNothingElse() {
        var table = PeerTable(local: anna)
        _ = table.step(.dialed(lead, .control, 1))
        _ = table.step(.welcomed(lead, incarnation: 1, .control, 1))
        #expect(table.step(.gaveUp(lead, reason: "no")) == [.close(1, reason: "no")])
        #expect(table.known.isEmpty)
        var other = connected(anna)
        #expect(other.step(.gaveUp(anna, reason: "no")) == [])
        #expect(other.isConnected(anna))
    }

    @Test func noNodeConnectsToItself() {
        var table = PeerTable(local: lead)
        for event in [
            PeerTable.Event.dialed(lead, .control, 1), .hello(lead, incarnation: 1, .control, 1),
        ] {
            guard case .refuse(1, _)? = table.step(event).first else {
                Issue.record("accepted itself")
                continue
            }
        }
    }

    /// Whatever happens in whatever order: `connected` and `lost` of a peer alternate.
    @Test func connectedAndLostAlternate() {
        var generator = Weyl()
        for _ in 0..<2000 {
            var table = PeerTable(local: lead)
            var isUp: [NodeID: Bool] = [:]
            for id in 1...40 as ClosedRange<UInt64> {
                let peer = Bool.random(using: &generator) ? anna : zoe
                let lane = Lane.allCases.randomElement(using: &generator) ?? .bulk
                let incarnation = UInt64.random(in: 1...3, using: &generator)
                let some = UInt64.random(in: 1...id, using: &generator)
                let events: [PeerTable.Event] = [
                    .hello(peer, incarnation: incarnation, lane, id), .dialed(peer, lane, id),
                    .welcomed(peer, incarnation: incarnation, lane, some),
                    .closed(some, reason: ""), .withdrawn(some), .dropped(peer, reason: ""),
                ]
                guard let event = events.randomElement(using: &generator) else { continue }
                for action in table.step(event) {
                    switch action {
                    case .connected(let peer, _, let lanes):
                        #expect(isUp[peer] != true && lanes.count == 2)
                        isUp[peer] = true
                    case .lost(let peer, _):
                        #expect(isUp[peer] == true)
                        isUp[peer] = false
                    default: break
                    }
                }
            }
        }
    }
}

/// The same draws in every run: a Weyl sequence, mixed.
private struct Weyl: RandomNumberGenerator {
    private var state: UInt64 = 1

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        let mixed = (state ^ state >> 30) &* 0xBF58_476D_1CE4_E5B9
        return mixed ^ mixed >> 31
    }
}
