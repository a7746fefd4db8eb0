import ArgumentParser

/// How a saved model's tokens find their experts.
struct RoutingOptions: ParsableArguments {
    @Option(
        help: """
            topk, or beam for what the model's masks leave of it (default: beam, if it has masks).
            """)
    var routing: RoutingMethod?

    @Option(
        help: """
            With masks: the soft mask, above 0 and below 1, from which on an expert is live \
            (default: 0.5).
            """)
    var threshold: Double?

    func validate() throws {
        guard let threshold else { return }
        try Self.check(threshold)
        guard routing != .topk else {
            throw ValidationError("--threshold: not with --routing topk, which has no masks")
        }
    }

    /// Throws unless `threshold` is between 0 and 1.
    static func check(_ threshold: Double) throws {
        guard threshold > 0, threshold < 1 else {
            throw ValidationError(
                "--threshold: found \(plain(threshold)), allowed is a number above 0 and below 1")
        }
    }

    /// Of these options.
    var request: RoutingRequest {
        RoutingRequest(
            routing: routing ?? (threshold == nil ? nil : .beam),
            threshold: threshold ?? RoutingRequest.usualThreshold)
    }
}

extension RoutingMethod: ExpressibleByArgument {}
