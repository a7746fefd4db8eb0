internal import FoundationEssentials
internal import LocalSGD
internal import Wire

/// Values of the run's own that travel as JSON inside a message: they grow with the program, and
/// both ends are of one build.

extension RunSettings {
    /// As JSON with sorted keys.
    var json: String { encoded(self) }

    init(json: String) throws(WireError) { self = try decoded(json, "settings_json") }
}

extension ModuleRecord {
    /// As JSON with sorted keys.
    var json: String { encoded(self) }

    /// The record in `json`, or nil where there is none.
    static func read(json: String) throws(WireError) -> ModuleRecord? {
        guard !json.isEmpty else { return nil }
        let record: ModuleRecord = try decoded(json, "record_json")
        guard record.period >= 1, record.pushes >= 0, record.pushes < record.period else {
            throw .field("record_json", "push \(record.pushes) of \(record.period)")
        }
        return record
    }
}

private func encoded(_ value: some Encodable) -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys]
    guard let data = try? encoder.encode(value) else {
        preconditionFailure("a number that JSON can't express")
    }
    return String(decoding: data, as: UTF8.self)
}

private func decoded<Value: Decodable>(
    _ json: String, _ name: String
) throws(WireError) -> Value {
    do {
        return try JSONDecoder().decode(Value.self, from: Data(json.utf8))
    } catch {
        throw WireError(.malformed, "\(name) does not parse: \(error)")
    }
}
