import FoundationEssentials
import LocalSGD
import Testing

@Suite("Steps by speed and by time")
struct LocalUpdatesTests {
    @Test("Steps are in proportion to speed, eight at least")
    func proportional() {
        var updates = LocalUpdates(syncInterval: 64)
        #expect(updates.steps(of: "a") == 64)
        updates.note("a", steps: 64, in: .seconds(16))
        updates.note("b", steps: 64, in: .seconds(32))
        updates.note("c", steps: 10, in: .seconds(60))
        #expect(updates.steps(of: "a") == 64)
        #expect(updates.steps(of: "b") == 32)
        #expect(updates.steps(of: "c") == 8)
        #expect(updates.steps(of: "new") == 64)
        updates.note("d", steps: 3, in: .seconds(1))
        #expect(updates.steps(of: "d") == 48)
        // 64 * 2.99 / 4 is 47.84.
        updates.remove("d")
        updates.note("d", steps: 299, in: .seconds(100))
        #expect(updates.steps(of: "d") == 47)
        updates.remove("a")
        #expect(updates.steps(of: "d") == 64)
        #expect(updates.steps(of: "b") == 42)
    }

    @Test("A small sync interval is everybody's")
    func smallInterval() {
        var updates = LocalUpdates(syncInterval: 4)
        updates.note("a", steps: 4, in: .seconds(1))
        updates.note("b", steps: 4, in: .seconds(9))
        #expect(updates.steps(of: "a") == 4)
        #expect(updates.steps(of: "b") == 4)
    }

    @Test("Speed is a moving mean whose first value has no privilege")
    func movingMean() {
        // So many steps, and a worker so fast, that steps tell the others' speeds to eight digits.
        var updates = LocalUpdates(syncInterval: 1_000_000_000)
        updates.note("fast", steps: 100, in: .seconds(10))
        var seen: [Double] = []
        for speed in [4, 4, 4, 2, 7, 1, 3, 3, 8, 2, 2, 6, 5] {
            updates.note("a", steps: speed * 10, in: .seconds(10))
            seen.append(Double(speed))
            var weight = 1.0
            var (sum, total) = (0.0, 0.0)
            for value in seen.reversed() {
                sum += weight * value
                total += weight
                weight *= 9.0 / 11
            }
            let found = Double(updates.steps(of: "a")) / 1e8
            #expect(abs(found - sum / total) < 2e-8)
        }
    }

    @Test("What was not measured is not noted")
    func unmeasured() {
        var updates = LocalUpdates(syncInterval: 64)
        updates.note("a", steps: 0, in: .seconds(1))
        updates.note("a", steps: 5, in: .zero)
        updates.note("a", steps: -5, in: .seconds(1))
        updates.note("a", steps: 5, in: .seconds(-1))
        #expect(updates == LocalUpdates(syncInterval: 64))
    }

    /// Steps of a worker with a virtual clock, the slow way.
    private func walk(_ time: SyncTime, step: Duration) -> Int {
        var elapsed = Duration.zero
        var steps = 0
        while time.left(after: elapsed) > .zero {
            elapsed += step
            steps += 1
        }
        return steps
    }

    @Test("A worker stops at the first step boundary after its timer")
    func boundaries() {
        let time = SyncTime(duration: .seconds(60))
        for milliseconds in [1, 7, 250, 333, 1000, 59_999, 60_000, 60_001, 999_999] {
            let step = Duration.milliseconds(milliseconds)
            let steps = walk(time, step: step)
            // Idle time is less than one step.
            #expect(step * steps >= .seconds(60))
            #expect(step * (steps - 1) < .seconds(60))
        }
        #expect(time.left(after: .seconds(64), extra: .seconds(5)) > .zero)
        #expect(time.left(after: .seconds(65), extra: .seconds(5)) <= .zero)
    }

    @Test("Speeds 1:2:4 take steps 1:2:4; a sync time of 64 steps is a sync interval of 64")
    func speeds() {
        let time = SyncTime(duration: .seconds(64))
        let steps = [1000, 500, 250].map { walk(time, step: .milliseconds($0)) }
        #expect(steps == [64, 128, 256])
    }

    @Test("A round with too few steps is extended by what is missing, within bounds")
    func extensions() {
        let time = SyncTime(duration: .seconds(100), stepsMin: 60)
        #expect(time.timeMissing(at: .seconds(100), steps: 60) == nil)
        #expect(time.timeMissing(at: .seconds(100), steps: 40) == .seconds(50))
        #expect(time.timeMissing(at: .seconds(150), steps: 50) == .seconds(30))
        #expect(time.timeMissing(at: .seconds(100), steps: 59) == .seconds(10))
        #expect(time.timeMissing(at: .seconds(100), steps: 1) == .seconds(100))
        #expect(time.timeMissing(at: .seconds(100), steps: 0) == .seconds(100))
        // Not for ever.
        #expect(time.timeMissing(at: .seconds(999), steps: 0) == .seconds(100))
        #expect(time.timeMissing(at: .seconds(1000), steps: 0) == nil)
    }

    @Test("Modes are stored under the names of the configuration")
    func modes() throws {
        let json = try JSONEncoder().encode(RunMode.allCases)
        #expect(String(decoding: json, as: UTF8.self) == #"["edit","a-edit","async"]"#)
        #expect(try JSONDecoder().decode([RunMode].self, from: json) == RunMode.allCases)
    }
}
