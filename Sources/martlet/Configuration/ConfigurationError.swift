/// Where a value came from; the part of a message that says where to look.
enum ConfigurationPlace: Sendable, Equatable, CustomStringConvertible {
    case file(path: String, line: Int, column: Int)
    case environment(variable: String)
    case flag(String)
    case defaults

    var description: String {
        switch self {
        case .file(let path, let line, let column): "\(path):\(line):\(column)"
        case .environment(let variable): "environment variable \(variable)"
        case .flag(let text): "flag \(text)"
        case .defaults: "default"
        }
    }
}

/// A mistake in the configuration.
struct ConfigurationError: Error, Equatable, CustomStringConvertible {
    let place: ConfigurationPlace?
    /// One line: the key, what was found, what is allowed.
    let message: String

    init(at place: ConfigurationPlace?, _ message: String) {
        self.place = place
        self.message = message
    }

    /// A key that does not exist, with the nearest one that does.
    init(unknownKey key: String, at place: ConfigurationPlace, known: [String]) {
        let nearest = known.min { distance(key, $0) < distance(key, $1) }
        let hint = nearest.map { "; the nearest known key is \($0)" } ?? ""
        self.init(at: place, "unknown key \(key)\(hint)")
    }

    /// A value outside of what its key allows.
    init(key: String, found: String, allowed: String, at place: ConfigurationPlace) {
        self.init(at: place, "\(key): found \(found), allowed is \(allowed)")
    }

    var description: String { place.map { "\($0): \(message)" } ?? message }
}

/// Least number of letters to insert, delete or replace that turns `a` into `b`.
private func distance(_ a: String, _ b: String) -> Int {
    let b = Array(b.utf8)
    var row = Array(0...b.count)
    for (i, x) in a.utf8.enumerated() {
        var diagonal = row[0]
        row[0] = i + 1
        for (j, y) in b.enumerated() {
            let replaced = diagonal + (x == y ? 0 : 1)
            diagonal = row[j + 1]
            row[j + 1] = min(replaced, row[j] + 1, row[j + 1] + 1)
        }
    }
    return row[b.count]
}
