/// Numbers as people read them, in few letters.
///
/// Pure: no locale.
package enum Figures {
    /// `value` with a fixed number of digits after the point; "-" if it is not a number.
    package static func fixed(_ value: Double, digits: Int) -> String {
        guard value.isFinite, abs(value) < 1e15 else { return "-" }
        var scale = 1
        for _ in 0..<digits { scale *= 10 }
        let units = Int((abs(value) * Double(scale)).rounded())
        let sign = value < 0 && units > 0 ? "-" : ""
        guard digits > 0 else { return sign + String(units) }
        let fraction = String(units % scale)
        let zeros = String(repeating: "0", count: digits - fraction.count)
        return "\(sign)\(units / scale).\(zeros)\(fraction)"
    }

    /// A part of a whole: 61.4 %.
    package static func percent(_ share: Double, digits: Int = 1) -> String {
        fixed(100 * share, digits: digits) + " %"
    }

    /// A ratio as what it is more or less than 1: +2.05 %.
    package static func difference(_ ratio: Double) -> String {
        (ratio >= 1 ? "+" : "") + percent(ratio - 1, digits: 2)
    }

    /// A count with a suffix: 950, 12.3k, 4.56M.
    package static func count(_ value: Double) -> String {
        scaled(value, by: 1000, suffixes: ["", "k", "M", "G", "T", "P"])
    }

    package static func count(_ value: UInt64) -> String { count(Double(value)) }

    /// Bytes with a unit: 950 B, 12.3 KiB, 4.56 MiB.
    package static func bytes(_ value: UInt64) -> String {
        scaled(Double(value), by: 1024, suffixes: [" B", " KiB", " MiB", " GiB", " TiB", " PiB"])
    }

    /// Seconds as 0.4s, 12s, 3m05s, 2h07m, 4d03h.
    package static func duration(_ seconds: Double) -> String {
        guard seconds.isFinite, seconds >= 0, seconds < 1e12 else { return "-" }
        if seconds < 9.95 { return fixed(seconds, digits: 1) + "s" }
        let whole = Int(seconds.rounded())
        switch whole {
        case ..<60: return "\(whole)s"
        case ..<3600: return "\(whole / 60)m\(twoDigits(whole % 60))s"
        case ..<86_400: return "\(whole / 3600)h\(twoDigits(whole % 3600 / 60))m"
        default: return "\(whole / 86_400)d\(twoDigits(whole % 86_400 / 3600))h"
        }
    }

    /// A loss in nats per token.
    package static func loss(_ value: Double) -> String { fixed(value, digits: 3) }

    private static func twoDigits(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }

    /// Three significant digits and a suffix.
    private static func scaled(_ value: Double, by step: Double, suffixes: [String]) -> String {
        guard value.isFinite, value >= 0 else { return "-" }
        var rest = value
        var index = 0
        while rest >= 999.5, index < suffixes.count - 1 {
            rest /= step
            index += 1
        }
        let digits = index == 0 || rest >= 99.95 ? 0 : rest >= 9.995 ? 1 : 2
        return fixed(rest, digits: digits) + suffixes[index]
    }
}
