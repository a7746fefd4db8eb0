extension String {
    /// Scalars of a foreign name that a message shows.
    private static let quotedScalarsMax = 120

    /// This name of a tensor, file or member as a message shows it: in quotes, on one line, no
    /// longer than a reader bears, and nothing in it that would steer a terminal.
    package var quoted: String {
        var text = "\""
        for scalar in unicodeScalars.prefix(Self.quotedScalarsMax) {
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator, .unassigned, .privateUse:
                text += "\\u{\(String(scalar.value, radix: 16))}"
            default:
                text.unicodeScalars.append(scalar)
            }
        }
        let rest = unicodeScalars.dropFirst(Self.quotedScalarsMax)
        return text + (rest.isEmpty ? "\"" : "…\"")
    }
}
