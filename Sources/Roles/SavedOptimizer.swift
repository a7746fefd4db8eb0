package import LocalSGD
package import Tensors

/// The state of a worker's inner optimizer, and what its updates have left unsaid.
package struct SavedOptimizer: Sendable {
    package var firstMoment: FloatBuffer
    package var secondMoment: FloatBuffer
    package var steps: Int
    package var joinedLate: Bool
    /// What the worker has learnt of its own norms.
    package var judge: UpdateJudge?
    /// For all parameters what earlier updates have left unsaid, if the codec leaves anything.
    package var residual: FloatBuffer?

    package init(
        firstMoment: FloatBuffer, secondMoment: FloatBuffer, steps: Int, joinedLate: Bool,
        judge: UpdateJudge? = nil, residual: FloatBuffer? = nil
    ) {
        self.residual = residual
        self.judge = judge
        self.firstMoment = firstMoment
        self.secondMoment = secondMoment
        self.steps = steps
        self.joinedLate = joinedLate
    }
}

/// Where a worker keeps its optimizer's state between two lives, if anywhere.
package struct OptimizerVault: Sendable {
    /// Versions of run `runID` that can be loaded.
    package var versions: @Sendable (_ runID: String) async -> [UInt64]
    package var save: @Sendable (SavedOptimizer, _ runID: String, UInt64) async throws -> Void
    package var load: @Sendable (_ runID: String, UInt64) async throws -> SavedOptimizer

    package init(
        versions: @escaping @Sendable (String) async -> [UInt64],
        save: @escaping @Sendable (SavedOptimizer, String, UInt64) async throws -> Void,
        load: @escaping @Sendable (String, UInt64) async throws -> SavedOptimizer
    ) {
        self.versions = versions
        self.save = save
        self.load = load
    }

    /// Keeps nothing.
    package static let none = OptimizerVault(
        versions: { _ in [] }, save: { _, _, _ in }, load: { _, _ in throw CancellationError() })
}
