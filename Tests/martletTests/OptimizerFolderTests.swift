import Foundation
import LocalSGD
import Roles
import Storage
import Tensors
import Testing

@testable import martlet

/// What a worker keeps on disk between two lives.
@Suite struct OptimizerFolderTests {
    private func withFolder(_ body: (OptimizerFolder) async throws -> Void) async throws {
        let path = NSTemporaryDirectory() + UUID().uuidString
        defer { try? FileManager.default.removeItem(atPath: path) }
        try await body(OptimizerFolder(path: path))
    }

    private func state(residual: [Float]?) -> SavedOptimizer {
        SavedOptimizer(
            firstMoment: FloatBuffer([1, 2, 3]), secondMoment: FloatBuffer([4, 5, 6]), steps: 7,
            joinedLate: true, judge: UpdateJudge(RunSettings(), modules: 2),
            residual: residual.map { FloatBuffer($0) })
    }

    @Test func everyPartComesBack() async throws {
        try await withFolder { folder in
            try await folder.vault.save(state(residual: [0.5, -0.25, 1e-30]), "run", 12)
            let saved = try await folder.vault.load("run", 12)
            #expect(saved.firstMoment.array == [1, 2, 3])
            #expect(saved.secondMoment.array == [4, 5, 6])
            #expect(saved.residual?.array == [0.5, -0.25, 1e-30])
            #expect(saved.steps == 7)
            #expect(saved.joinedLate)
            #expect(saved.judge == UpdateJudge(RunSettings(), modules: 2))
            #expect(await folder.vault.versions("run") == [12])
            #expect(await folder.vault.versions("other") == [])
        }
    }

    @Test func stateWithoutResidualLoads() async throws {
        try await withFolder { folder in
            try await folder.vault.save(state(residual: nil), "run", 3)
            let saved = try await folder.vault.load("run", 3)
            #expect(saved.residual == nil)
            #expect(saved.firstMoment.array == [1, 2, 3])
        }
    }
}
