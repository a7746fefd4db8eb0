import MoE

/// Which of the experts that a router chose are run.
enum RoutingMethod: String, CaseIterable, Sendable {
    /// All K of them.
    case topk
    /// Of those the ones that the masks leave live (BEAM 2026).
    case beam

    /// Throws unless a model, which the message calls `name`, can be run so.
    func check(_ configuration: ModelConfiguration, of name: String) throws(CommandError) {
        guard self == .topk || configuration.masksExperts else {
            throw CommandError(
                .badData,
                "\(name) has no expert masks (expert_masks in config.json), which --routing beam"
                    + " needs; use --routing topk")
        }
    }
}

extension CommandError {
    /// What to say where `count` mask logits of a model, which the message calls `name`, were no
    /// numbers: their slots count as closed, and what comes of that would pass for the model's.
    static func brokenMasks(_ count: Int, of name: String) -> CommandError {
        CommandError(
            .badData,
            "\(count) mask logits of \(name) are not numbers, so its weights are broken; take"
                + " another checkpoint, or see whether it works with --routing topk")
    }
}

/// How tokens are to find their experts.
struct RoutingRequest: Sendable {
    /// tau where none is given: what the sigmoid of a mask logit must reach for its slot to be
    /// live.
    static let usualThreshold = 0.5

    /// By itself ``RoutingMethod/beam`` for a model with masks, which was trained to be run with
    /// them.
    var routing: RoutingMethod?
    var threshold = RoutingRequest.usualThreshold

    /// What it comes to for a model, which messages call `name`, if its masks are put to `use`.
    func masking(
        _ use: Masking.Use, of configuration: ModelConfiguration, named name: String
    ) throws(CommandError) -> Masking {
        let routing = self.routing ?? (configuration.masksExperts ? .beam : .topk)
        try routing.check(configuration, of: name)
        guard routing == .beam else { return .off }
        var masking = Masking(use)
        masking.threshold = Masking.logit(threshold)
        return masking
    }
}
