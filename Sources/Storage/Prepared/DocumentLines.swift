/// JSONL: one document a line, its text in a member of that line's object.
enum DocumentLines {
    /// Whether a file of this name has documents as lines.
    static func isName(_ name: String) -> Bool {
        [".jsonl", ".ndjson"].contains { name.lowercased().hasSuffix($0) }
    }

    /// Whether a line is to be passed over.
    static func isBlank(_ line: ArraySlice<UInt8>) -> Bool { !line.contains { $0 > 0x20 } }

    /// The text in the member `key` of `line`, which errors call `place`.
    ///
    /// Throws `corrupt`.
    static func text(
        of line: ArraySlice<UInt8>, key: String, _ place: String
    ) throws(StorageError) -> [UInt8] {
        let document: JSON
        do throws(JSONSyntaxError) {
            document = try JSON(parsing: Array(line))
        } catch {
            throw StorageError(.corrupt, "\(place) is no JSON document", cause: error)
        }
        guard let text = document[key]?.string else {
            throw StorageError(.corrupt, "\(place) has no text in a member \"\(key)\"")
        }
        return Array(text.utf8)
    }
}
