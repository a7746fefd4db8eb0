/// The runs of one case, one per seed.
struct ConvergenceGroup: Sendable {
    let run: ConvergenceCase
    /// In the order of their seeds; at least one.
    let results: [ConvergenceResult]

    /// `results` by case, in the order of the tables.
    static func groups(of results: [ConvergenceResult]) -> [ConvergenceGroup] {
        let methods = ConvergenceMethod.all.map(\.name)
        func place(_ run: ConvergenceCase) -> (Int, String, String, String) {
            (
                methods.firstIndex(of: run.method) ?? methods.count, run.method,
                run.codec == "raw" ? "" : run.codec, run.condition.rawValue
            )
        }
        return Dictionary(grouping: results, by: \.run)
            .map { ConvergenceGroup(run: $0, results: $1.sorted { $0.seed < $1.seed }) }
            .sorted { place($0.run) < place($1.run) }
    }

    func mean(_ value: (ConvergenceResult) -> Double) -> Double {
        results.reduce(0) { $0 + value($1) } / Double(results.count)
    }

    /// The sample's standard deviation of the final losses; nothing for one run.
    var lossDeviation: Double? {
        guard results.count > 1 else { return nil }
        let mean = mean(\.heldOutLoss)
        let squares = results.reduce(0) {
            $0 + ($1.heldOutLoss - mean) * ($1.heldOutLoss - mean)
        }
        return (squares / Double(results.count - 1)).squareRoot()
    }

    /// The mean of the virtual seconds until the held-out loss was `target`, if it was with all
    /// seeds.
    func seconds(to target: Double) -> Double? {
        let times = results.compactMap { $0.seconds(to: target) }
        guard times.count == results.count, !times.isEmpty else { return nil }
        return times.reduce(0, +) / Double(times.count)
    }
}
