import Storage

/// Any tokenizer.json is refused, or encodes any text into ids of its own, and decodes them the
/// same at once and one by one.
///
/// The text is what follows a zero byte in the input, which no JSON document can hold.
func fuzz(_ bytes: [UInt8]) {
    let end = bytes.firstIndex(of: 0) ?? bytes.endIndex
    guard let tokenizer = try? Tokenizer(parsing: Array(bytes[..<end]), path: "tokenizer.json")
    else { return }
    let text = String(decoding: bytes[end...].dropFirst(), as: UTF8.self)
    for isPlain in [true, false] {
        guard
            let ids = try? tokenizer.encode(
                text, recognizingSpecialTokens: isPlain, addingTemplate: isPlain)
        else { continue }
        precondition(
            ids.allSatisfy { 0 <= $0 && $0 < tokenizer.vocabularySize }, "an id of nobody")
        var stream = tokenizer.stream(skippingSpecialTokens: isPlain)
        var pieces = ids.map { stream.append($0) }
        pieces.append(stream.finish())
        let whole = tokenizer.decode(ids, skippingSpecialTokens: isPlain)
        precondition(pieces.joined() == whole, "one by one is another text")
    }
}
