/// What a safetensors file says of itself before its numbers.
///
///     +------------------+------------------------------+---------------------------+
///     | header bytes u64 | header: JSON, padded to 8    | data: tensors, no gaps    |
///     +------------------+------------------------------+---------------------------+
///
/// Invariants: names are unique; tensors are in the order of their bytes, which begin at 0, follow
/// one another without gap or overlap, and are as many as type and shape say.
package struct SafetensorsHeader: Sendable, Equatable {
    /// One tensor, row-major and little-endian.
    package struct Tensor: Sendable, Equatable {
        package let name: String
        package let type: ScalarType
        package let shape: [Int]
        /// Its bytes, counted from the start of the data.
        package let bytes: Range<Int>

        /// Number of elements.
        package var count: Int { shape.reduce(1, *) }
    }

    /// Bytes of the longest header that is read.
    ///
    /// The format's own limit.
    package static let byteCountMax = 100_000_000
    /// Bytes before the header: its length.
    static let lengthByteCount = 8
    /// The member that holds ``metadata`` and no tensor.
    static let metadataName = "__metadata__"

    package let tensors: [Tensor]
    /// Free text by name.
    package let metadata: [String: String]
    private let indexByName: [String: Int]

    /// Number of bytes after the header.
    package var dataByteCount: Int { tensors.last?.bytes.upperBound ?? 0 }

    /// The tensor called `name`, if there is one.
    package func tensor(named name: String) -> Tensor? { indexByName[name].map { tensors[$0] } }

    /// The header of a file that holds `tensors` one behind the other.
    ///
    /// Their names must be unique.
    package init(
        tensors specification: [(name: String, type: ScalarType, shape: [Int])],
        metadata: [String: String] = ["format": "pt"]
    ) {
        var end = 0
        tensors = specification.map { name, type, shape in
            let start = end
            end += shape.reduce(type.bitCount, *) / 8
            return Tensor(name: name, type: type, shape: shape, bytes: start..<end)
        }
        self.metadata = metadata
        indexByName = Dictionary(
            uniqueKeysWithValues: tensors.enumerated().map { ($0.element.name, $0.offset) })
    }

    /// Reads the header `text` of the file at `path`, which has `dataByteCount` bytes after it.
    ///
    /// Throws `corrupt`, or `unsupported` for a type of number that is not known.
    package init(
        parsing text: [UInt8], dataByteCount: Int, path: String
    ) throws(StorageError) {
        guard text.first == UInt8(ascii: "{") else {
            throw StorageError(.corrupt, "\(path) is no safetensors file: no header in it")
        }
        let json: JSON
        do throws(JSONSyntaxError) {
            json = try JSON(parsing: text)
        } catch {
            throw StorageError(.corrupt, "the header of \(path) is no JSON", cause: error)
        }
        do throws(SafetensorsProblem) {
            self = try SafetensorsHeader(json, dataByteCount: dataByteCount)
        } catch {
            throw StorageError(error.code, "the header of \(path) is wrong: \(error.text)")
        }
    }

    /// The header that `json` says, for a file with `dataByteCount` bytes of data.
    private init(_ json: JSON, dataByteCount: Int) throws(SafetensorsProblem) {
        guard let members = json.members else { throw SafetensorsProblem("it is not an object") }
        var metadata: [String: String] = [:]
        var tensors: [Tensor] = []
        for member in members {
            if member.name == Self.metadataName {
                metadata = try Self.metadata(member.value)
            } else {
                tensors.append(try Tensor(member, dataByteCount: dataByteCount))
            }
        }
        tensors.sort {
            ($0.bytes.lowerBound, $0.bytes.upperBound) < ($1.bytes.lowerBound, $1.bytes.upperBound)
        }
        var end = 0
        for tensor in tensors {
            guard tensor.bytes.lowerBound == end else {
                let fault =
                    tensor.bytes.lowerBound < end ? "overlaps the one" : "leaves a gap to the one"
                throw SafetensorsProblem("tensor \(tensor.name.quoted) \(fault) before it")
            }
            end = tensor.bytes.upperBound
        }
        guard end == dataByteCount else {
            throw SafetensorsProblem(
                "its tensors take \(end) bytes, and the file has \(dataByteCount) for them")
        }
        self.tensors = tensors
        self.metadata = metadata
        indexByName = Dictionary(
            tensors.enumerated().map { ($0.element.name, $0.offset) }, uniquingKeysWith: { $1 })
        guard indexByName.count == tensors.count else {
            throw SafetensorsProblem(
                "two tensors have names that are the same text, only composed otherwise")
        }
    }

    private static func metadata(_ json: JSON) throws(SafetensorsProblem) -> [String: String] {
        // As others read it: null is as good as nothing.
        if json == .null { return [:] }
        guard let members = json.members else {
            throw SafetensorsProblem("\(metadataName) is not an object")
        }
        var metadata: [String: String] = [:]
        for member in members {
            guard let text = member.value.string else {
                throw SafetensorsProblem("\(metadataName) holds something that is not text")
            }
            metadata[member.name] = text
        }
        return metadata
    }

    /// The bytes before the data: the length of the header, and the header padded so that the data
    /// starts at a multiple of 8.
    package func encoded() -> [UInt8] {
        var members: [JSON.Member] = []
        if !metadata.isEmpty {
            let texts = metadata.sorted { $0.key < $1.key }.map {
                JSON.Member(name: $0.key, value: .string($0.value))
            }
            members.append(JSON.Member(name: Self.metadataName, value: .object(texts)))
        }
        members += tensors.map(\.json)
        var text = JSON.object(members).encoded()
        while text.count % 8 != 0 { text.append(UInt8(ascii: " ")) }
        return (0..<Self.lengthByteCount).map { UInt8(truncatingIfNeeded: text.count >> (8 * $0)) }
            + text
    }
}

extension SafetensorsHeader.Tensor {
    /// The tensor that `member` describes.
    ///
    /// Nothing of it is believed: any number may stand there.
    fileprivate init(_ member: JSON.Member, dataByteCount: Int) throws(SafetensorsProblem) {
        func problem(_ text: String) -> SafetensorsProblem {
            SafetensorsProblem("tensor \(member.name.quoted) \(text)")
        }
        guard let fields = member.value.members, fields.count == 3,
            let typeName = member.value["dtype"]?.string,
            let dimensions = member.value["shape"]?.array,
            let offsets = member.value["data_offsets"]?.array
        else { throw problem("is described by something else than dtype, shape and data_offsets") }
        guard let type = ScalarType(rawValue: typeName) else {
            throw SafetensorsProblem(
                "tensor \(member.name.quoted) has the unknown type \(typeName.quoted)",
                code: .unsupported)
        }
        var shape: [Int] = []
        var bitCount = type.bitCount
        for dimension in dimensions {
            guard let length = dimension.integer, length >= 0 else {
                throw problem("has a dimension that is not a count")
            }
            let (product, overflow) = bitCount.multipliedReportingOverflow(by: length)
            guard !overflow else { throw problem("has a shape beyond all memory") }
            shape.append(length)
            bitCount = product
        }
        let (size, rest) = bitCount.quotientAndRemainder(dividingBy: 8)
        guard rest == 0 else { throw problem("does not fill its last byte") }
        guard offsets.count == 2, let start = offsets[0].integer, let end = offsets[1].integer,
            start >= 0, start <= end, end <= dataByteCount
        else { throw problem("has data_offsets outside the file's \(dataByteCount) bytes of data") }
        guard end - start == size else {
            throw problem("takes \(end - start) bytes, and \(size) by its type and shape")
        }
        self.init(name: member.name, type: type, shape: shape, bytes: start..<end)
    }

    fileprivate var json: JSON.Member {
        JSON.Member(
            name: name,
            value: [
                "dtype": .string(type.rawValue),
                "shape": .array(shape.map { .integer($0) }),
                "data_offsets": [.integer(bytes.lowerBound), .integer(bytes.upperBound)],
            ])
    }
}

/// What is wrong with a header; the reader of the file says which file it is.
struct SafetensorsProblem: Error, Sendable, Equatable {
    let text: String
    let code: StorageError.Code

    init(_ text: String, code: StorageError.Code = .corrupt) {
        self.text = text
        self.code = code
    }
}
