import LocalSGD

/// The keys of masks that are learnt.
extension ConfigurationTable {
    static let masks: [ConfigurationKey] = [
        .choice(
            "training.masks.training", \.run.masks.training,
            "Whether the run learns which experts a token can do without (BEAM), and what it trains"
                + " for that: all parameters, masks and routers, or masks alone."),
        .number(
            "training.masks.coefficient", \.run.masks.coefficient, .from(0, to: 1000),
            "Weight of the masks' regulariser: the larger, the fewer experts; where it is steered,"
                + " its first value."),
        .number(
            "training.masks.target", \.run.masks.target, .from(0, to: 64),
            "Live experts per token and layer that the weight is steered to, at most those that a"
                + " token is sent to; 0: it stays."),
        .number(
            "training.masks.target_rate", \.run.masks.targetRate, .above(0, to: 10),
            "How far the weight's logarithm moves a round for each live expert too many."),
        .choice(
            "training.masks.regularizer", \.run.masks.regularizer,
            "Mean of the soft masks (l1) or of their squares (l2)."),
        .integer(
            "training.masks.delay", \.run.masks.delay, 0...10_000_000,
            "Inner steps at the start without the regulariser, so that masks leave their"
                + " threshold by what they are worth."),
        .number(
            "training.masks.bias", \.run.masks.bias, .from(0, to: 100),
            "Added to every mask logit at the start, to keep masks open there."),
        .integer(
            "training.masks.bias_steps", \.run.masks.biasSteps, 0...10_000_000,
            "Inner steps over which that falls to 0."),
        .number(
            "training.masks.learning_rate_factor", \.run.masks.rateFactor, .above(0, to: 10_000),
            "Learning rate of the mask routers, as a multiple of the others'."),
    ]
}
