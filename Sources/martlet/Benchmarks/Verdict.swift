/// Something that a comparison is asked to show, what was measured of it, and whether that is
/// enough.
struct Verdict: Encodable, Equatable, Sendable {
    enum Outcome: String, Encodable, Sendable {
        case yes
        case no
        /// A run that it takes is not there.
        case notRun = "not run"
    }

    let requirement: String
    /// The bound, as the page has it.
    let asked: String
    /// As the page has it.
    let measured: String
    /// The same as a number; nothing if there is none.
    let value: Double?
    let met: Outcome

    /// The lines of a page that has `verdicts`.
    static func table(_ verdicts: [Verdict]) -> [String] {
        MarkdownTable.lines(
            ["requirement", "asked", "measured", "met"],
            verdicts.map { [$0.requirement, $0.asked, $0.measured, $0.met.rawValue] })
    }
}
