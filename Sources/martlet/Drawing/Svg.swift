import Status

/// The elements that our drawings are made of, as text of an SVG file.
enum Svg {
    /// Distinct also for those who don't see all colours (Okabe and Ito 2008).
    static let colours = [
        "#000000", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#999999",
    ]

    /// The whole file: `elements` on white, sizes in pixels.
    static func document(width: Int, height: Int, _ elements: [String]) -> String {
        let lines =
            [
                "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 \(width) \(height)\""
                    + " width=\"\(width)\""
                    + " height=\"\(height)\" font-family=\"sans-serif\" font-size=\"13\">",
                "<rect width=\"\(width)\" height=\"\(height)\" fill=\"#ffffff\"/>",
            ] + elements
        return (lines + ["</svg>", ""]).joined(separator: "\n")
    }

    static func line(
        _ points: [(Double, Double)], _ colour: String, _ style: String = ""
    ) -> String {
        let path = points.map { "\(number($0.0)),\(number($0.1))" }.joined(separator: " ")
        return "<polyline points=\"\(path)\" fill=\"none\" stroke=\"\(colour)\"\(style)/>"
    }

    static func box(
        x: Double, y: Double, width: Double, height: Double, _ attributes: String
    ) -> String {
        "<rect x=\"\(number(x))\" y=\"\(number(y))\""
            + " width=\"\(number(width))\" height=\"\(number(height))\"\(attributes)/>"
    }

    static func dot(x: Double, y: Double, _ colour: String) -> String {
        "<circle cx=\"\(number(x))\" cy=\"\(number(y))\" r=\"4\" fill=\"\(colour)\"/>"
    }

    static func text(
        _ text: String, x: Double, y: Double, _ anchor: String, size: Int = 13,
        also attributes: String = ""
    ) -> String {
        "<text x=\"\(number(x))\" y=\"\(number(y))\" text-anchor=\"\(anchor)\""
            + " font-size=\"\(size)\"\(attributes)>\(escaped(text))</text>"
    }

    /// Pixels to a tenth.
    static func number(_ value: Double) -> String { Figures.fixed(value, digits: 1) }

    /// Control characters have no place in XML at all.
    private static func escaped(_ text: String) -> String {
        text.unicodeScalars.map { scalar in
            switch scalar {
            case "&": "&amp;"
            case "<": "&lt;"
            case ">": "&gt;"
            case _ where scalar.value < 32 || scalar.value == 0xfffe || scalar.value == 0xffff: "?"
            default: String(scalar)
            }
        }.joined()
    }
}
