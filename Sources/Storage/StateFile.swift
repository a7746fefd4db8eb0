package import Tensors

/// Named buffers and a JSON document in one file that is there whole or not at all, and verified
/// when it is opened: what a process keeps for its own restart.
///
/// It is a safetensors file. Its last tensor is the CRC-32C of every byte before, so it is written
/// in one go and any reader of safetensors can look into it.
package struct StateFile: Sendable {
    private static let checksumName = "martlet.crc32c"
    private static let checksumByteCount = 4
    private static let documentName = "martlet.state"

    /// The JSON document, as it was given.
    package let document: [UInt8]
    /// Names of the buffers, in the order in which they were written.
    package let names: [String]
    private let file: SafetensorsFile

    /// Writes `buffers`, whose names must be unique, and `document`, which must be UTF-8, to the
    /// file at `path`, replacing it.
    ///
    /// Throws `unwritable`; then the old file is untouched.
    package static func write(
        _ buffers: [(name: String, values: FloatBuffer)], document: [UInt8], to path: String
    ) throws(StorageError) {
        guard let text = String(validating: document, as: UTF8.self) else {
            preconditionFailure("the document of a state file is UTF-8")
        }
        var tensors = buffers.map {
            (name: $0.name, type: ScalarType.float32, shape: [$0.values.count])
        }
        tensors.append((checksumName, .uint8, [checksumByteCount]))
        let header = SafetensorsHeader(
            tensors: tensors, metadata: ["format": "pt", documentName: text])
        try AtomicFile.write(to: path) { (file) throws(StorageError) in
            var writer = try SafetensorsWriter(file: file, header: header)
            for (_, values) in buffers { try writer.append(values) }
            let checksum = writer.checksum.value
            try writer.append(
                Buffer<UInt8>(
                    (0..<checksumByteCount).map { UInt8(truncatingIfNeeded: checksum >> (8 * $0)) })
            )
            _ = try writer.finish()
        }
    }

    /// Opens the file at `path` and verifies all of it.
    ///
    /// Throws `missing`, `unreadable`, or `corrupt`.
    package init(path: String) throws(StorageError) {
        let safetensors = try SafetensorsFile(path: path)
        let tensors = safetensors.header.tensors
        guard let last = tensors.last, last.name == Self.checksumName, last.type == .uint8,
            last.count == Self.checksumByteCount,
            let text = safetensors.header.metadata[Self.documentName]
        else { throw StorageError(.corrupt, "\(path) is no state file") }
        let written = try safetensors.values(Self.checksumName, of: UInt8.self).array
            .reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        let found = try Checksum.of(file: path, droppingLast: Self.checksumByteCount)
        guard found.value == written else {
            throw StorageError(.corrupt, "\(path) is damaged: its checksum is not the one in it")
        }
        file = safetensors
        document = Array(text.utf8)
        names = tensors.dropLast().map(\.name)
    }

    /// Number of elements of buffer `name`, if there is one.
    package func count(of name: String) -> Int? { file.header.tensor(named: name)?.count }

    /// Reads buffer `name` into `values`, which has as many elements.
    ///
    /// Throws `missing`, `mismatch`, or `unreadable`.
    package func read(_ name: String, into values: FloatBuffer) throws(StorageError) {
        try file.read(name, into: values)
    }
}
