/// A value in a tokenizer's file, which knows where it stands: errors name the file, the member and
/// what was found.
struct TokenizerMember {
    let file: String
    /// For instance "model.vocab"; empty for the whole document.
    let place: String
    let json: JSON

    /// Longest value that an error repeats, in characters.
    private static let repeatedMax = 60

    /// The member `name` of this object; null where it is not there.
    subscript(name: String) -> TokenizerMember {
        TokenizerMember(
            file: file, place: place.isEmpty ? name : "\(place).\(name)",
            json: json[name] ?? .null)
    }

    var isNull: Bool { json == .null }

    func corrupt(_ problem: String) -> StorageError {
        StorageError(.corrupt, "\(file) is no tokenizer: \(place) \(problem)")
    }

    func unsupported(_ problem: String) -> StorageError {
        StorageError(.unsupported, "\(file): \(place) \(problem)")
    }

    /// The error of a value that is not read here.
    func unread() -> StorageError {
        var text = String(decoding: json.encoded(), as: UTF8.self)
        if text.count > Self.repeatedMax { text = text.prefix(Self.repeatedMax) + "…" }
        return unsupported("is \(text), which is not read here")
    }

    /// Refuses every member that is not among `names`.
    func allow(_ names: String...) throws(StorageError) {
        guard let members = json.members else { throw corrupt("is no object") }
        for member in members where !names.contains(member.name) {
            throw self[member.name].unread()
        }
    }

    func string() throws(StorageError) -> String {
        guard let value = json.string else { throw corrupt("is no text") }
        return value
    }

    func bytes() throws(StorageError) -> [UInt8] { Array(try string().utf8) }

    /// A truth value; `absent` where there is none.
    func flag(absent: Bool? = nil) throws(StorageError) -> Bool {
        if isNull, let absent { return absent }
        guard case .bool(let value) = json else { throw corrupt("is neither true nor false") }
        return value
    }

    func number(_ range: ClosedRange<Int>) throws(StorageError) -> Int {
        guard let value = json.integer else { throw corrupt("is no whole number") }
        guard range.contains(value) else {
            throw unsupported("is \(value), and \(range.lowerBound) to \(range.upperBound) is read")
        }
        return value
    }

    /// The elements of an array of at most `countMax`.
    func elements(_ countMax: Int) throws(StorageError) -> [TokenizerMember] {
        guard let values = json.array else { throw corrupt("is no array") }
        guard values.count <= countMax else {
            throw unsupported("has \(values.count) elements, more than the limit of \(countMax)")
        }
        return values.enumerated().map { index, value in
            TokenizerMember(file: file, place: "\(place)[\(index)]", json: value)
        }
    }

    /// The value of one of a kind that is written as text.
    func choice<Value: RawRepresentable & CaseIterable>() throws(StorageError) -> Value
    where Value.RawValue == String {
        let text = try string()
        guard let value = Value(rawValue: text) else { throw unread() }
        return value
    }

    /// `{"String": …}` or `{"Regex": …}` as a pattern.
    func pattern() throws(StorageError) -> Pattern {
        try allow("String", "Regex")
        do throws(PatternError) {
            if !self["Regex"].isNull { return try Pattern(try self["Regex"].text()) }
            return try Pattern(literal: try self["String"].text())
        } catch {
            throw unsupported("is a pattern that is not read here: \(error)")
        }
    }

    private func text() throws(PatternError) -> String {
        guard let text = json.string else { throw PatternError(problem: "no text", offset: 0) }
        return text
    }

    /// `{"String": …}` alone, not empty.
    func literal() throws(StorageError) -> [UInt8] {
        try allow("String")
        let bytes = try self["String"].bytes()
        guard !bytes.isEmpty else { throw self["String"].unread() }
        return bytes
    }
}
