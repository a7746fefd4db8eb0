import Storage

/// Any bytes are refused, or a document that survives being written and read again.
func fuzz(_ bytes: [UInt8]) {
    guard let json = try? JSON(parsing: bytes) else { return }
    for indented in [false, true] {
        let again = try? JSON(parsing: json.encoded(indented: indented))
        precondition(again == json, "it is another document once it is written")
    }
}
