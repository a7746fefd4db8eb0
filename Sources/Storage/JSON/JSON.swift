/// A JSON document as a value.
///
/// Unlike `JSONDecoder`, its parser refuses names given twice, keeps their order, and bounds how
/// deep a document may nest: what it reads may come from anybody.
package enum JSON: Sendable, Equatable {
    package struct Member: Sendable, Equatable {
        package let name: String
        package let value: JSON

        package init(name: String, value: JSON) {
            self.name = name
            self.value = value
        }
    }

    case null
    case bool(Bool)
    /// A number written without fraction and exponent that fits 64 bits.
    case integer(Int)
    case number(Double)
    case string(String)
    case array([JSON])
    /// Names are unique.
    case object([Member])

    /// The value of the member called `name`, if this is an object that has one.
    package subscript(name: String) -> JSON? {
        guard case .object(let members) = self else { return nil }
        return members.first { $0.name == name }?.value
    }

    package var string: String? {
        guard case .string(let value) = self else { return nil }
        return value
    }

    package var integer: Int? {
        guard case .integer(let value) = self else { return nil }
        return value
    }

    package var array: [JSON]? {
        guard case .array(let values) = self else { return nil }
        return values
    }

    package var members: [Member]? {
        guard case .object(let members) = self else { return nil }
        return members
    }
}

extension JSON: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral,
    ExpressibleByBooleanLiteral, ExpressibleByNilLiteral, ExpressibleByArrayLiteral,
    ExpressibleByDictionaryLiteral
{
    package init(stringLiteral value: String) { self = .string(value) }
    package init(integerLiteral value: Int) { self = .integer(value) }
    package init(booleanLiteral value: Bool) { self = .bool(value) }
    package init(nilLiteral: ()) { self = .null }
    package init(arrayLiteral elements: JSON...) { self = .array(elements) }
    package init(dictionaryLiteral elements: (String, JSON)...) {
        self = .object(elements.map { Member(name: $0, value: $1) })
    }
}

extension JSON {
    /// The document in the file at `path`.
    ///
    /// Throws `missing`, `unreadable`, `unsupported` for a file that is too large, or `corrupt`.
    package init(file path: String) throws(StorageError) {
        let bytes = try AtomicFile.read(path)
        do throws(JSONSyntaxError) {
            self = try JSON(parsing: bytes)
        } catch {
            throw StorageError(.corrupt, "\(path) is no JSON document", cause: error)
        }
    }
}
