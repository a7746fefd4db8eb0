import LocalSGD
import Testing

/// A module is one in its norm and its clip, however many parts its contributions are weighed in.
@Suite("The clip of a module")
struct ModuleClipTests {
    /// By itself neither part is as long as both are, and each would be cut by another factor.
    @Test("T9: the norm is that of the whole module, and all its experts are cut alike")
    func wholeModule() throws {
        // A dense part, two experts, and the rest of the dense part.
        let push: [Float] = [6, 0, 8, 0, 0, 0]
        func merged(_ bound: Double) throws -> [Double] {
            try RadialRunTests.merged(
                [push], dense: [1], experts: [[1], [1]], by: .mean, clipNorm: bound)
        }
        let half = try merged(5)
        let factor = 5 / (10 + 1e-6)
        for (found, pushed) in zip(half, push) {
            #expect(abs(found - factor * Double(pushed)) < 1e-6)
        }
        // Longer than each part, and shorter than both.
        let cut = try merged(9)
        #expect(abs(cut[0] - 5.4) < 1e-5 && abs(cut[2] - 7.2) < 1e-5)
        #expect(try merged(10.5) == push.map { Double($0) })
    }
}
