package import Tensors

/// A safetensors file opened for reading.
///
/// Its header is checked as a whole when it is opened; numbers are read when asked for, straight
/// into the caller's buffer: fp32 by the system, 16-bit numbers converted out of a mapping of the
/// file. Several threads may read at once.
package struct SafetensorsFile: Sendable {
    package let path: String
    package let header: SafetensorsHeader
    private let file: File
    private let mapping: MappedFile
    /// Where the data starts in the file.
    private let dataOffset: Int

    /// Opens the file at `path`.
    ///
    /// Throws `missing`, `unreadable`, `corrupt`, or `unsupported` for a type of number that is not
    /// known.
    package init(path: String) throws(StorageError) {
        self.path = path
        file = try File.open(path)
        let byteCount = try file.byteCount()
        let lengthByteCount = SafetensorsHeader.lengthByteCount
        guard byteCount >= lengthByteCount else {
            throw StorageError(
                .corrupt, "\(path) is no safetensors file: \(byteCount) bytes are too few")
        }
        let announced = try file.read(at: 0, count: lengthByteCount)
            .reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        let headerByteCountMax = min(byteCount - lengthByteCount, SafetensorsHeader.byteCountMax)
        guard announced <= headerByteCountMax else {
            throw StorageError(
                .corrupt,
                "\(path) is no safetensors file: a header of \(announced) bytes is announced, and"
                    + " \(headerByteCountMax) are possible")
        }
        let text = try file.read(at: lengthByteCount, count: Int(announced))
        dataOffset = lengthByteCount + text.count
        header = try SafetensorsHeader(
            parsing: text, dataByteCount: byteCount - dataOffset, path: path)
        mapping = try MappedFile(file, count: byteCount)
    }

    /// Describes the tensor called `name`.
    ///
    /// Throws `missing`.
    package func tensor(named name: String) throws(StorageError) -> SafetensorsHeader.Tensor {
        guard let tensor = header.tensor(named: name) else {
            throw StorageError(.missing, "\(path) has no tensor \(name.quoted)")
        }
        return tensor
    }

    /// Reads all of tensor `name` into `buffer`, which has as many elements.
    ///
    /// F32, F16 and BF16 are read. Throws `missing`, `unreadable`, `corrupt`, or `mismatch` for
    /// other types and counts.
    package func read(_ name: String, into buffer: FloatBuffer) throws(StorageError) {
        try read(name, into: buffer) { (_, _, _) throws(StorageError) in }
    }

    /// As ``read(_:into:)``, and throws `corrupt` for the first number that is not finite.
    package func readFinite(_ name: String, into buffer: FloatBuffer) throws(StorageError) {
        try read(name, into: buffer) { (tensor, start, part) throws(StorageError) in
            guard !part.allFinite else { return }
            let index = part.array.firstIndex { !$0.isFinite } ?? 0
            throw StorageError(
                .corrupt,
                "tensor \(tensor.name.quoted) in \(path) holds numbers that are not finite:"
                    + " element \(start + index) is \(part[index])")
        }
    }

    /// Reads all of tensor `name`, converted as in ``read(_:into:)``.
    ///
    /// Throws the same errors.
    package func floats(_ name: String) throws(StorageError) -> FloatBuffer {
        let tensor = try tensor(named: name)
        // Before room is made: of a type without whole bytes there may be more than memory holds.
        try check(tensor, isRead: tensor.type.isReadAsFloats, as: "F32, F16 or BF16")
        let buffer = FloatBuffer(count: tensor.count)
        try read(name, into: buffer)
        return buffer
    }

    /// Reads all of tensor `name`, whose numbers are of type `Element`.
    ///
    /// Throws `missing`, `unreadable`, `corrupt`, or `mismatch` for another type.
    package func values<Element: TensorElement>(
        _ name: String, of type: Element.Type = Element.self
    ) throws(StorageError) -> Buffer<Element> {
        let tensor = try tensor(named: name)
        try check(
            tensor, isRead: tensor.type == Element.scalarType, as: Element.scalarType.rawValue)
        let buffer = Buffer<Element>(count: tensor.count)
        try readExactly(at: dataOffset + tensor.bytes.lowerBound, into: buffer)
        return buffer
    }

    /// Numbers converted and inspected at a time: what stays in the second-level cache.
    private static let chunkCount = 1 << 16

    /// Reads tensor `name` in parts, and shows each to `inspect` with the index of its first
    /// element.
    private func read(
        _ name: String, into buffer: FloatBuffer,
        _ inspect: (SafetensorsHeader.Tensor, Int, FloatBuffer) throws(StorageError) -> Void
    ) throws(StorageError) {
        let tensor = try tensor(named: name)
        try check(tensor, isRead: tensor.type.isReadAsFloats, as: "F32, F16 or BF16")
        guard tensor.count == buffer.count else {
            throw StorageError(
                .mismatch,
                "tensor \(name.quoted) in \(path) has shape \(tensor.shape), \(tensor.count)"
                    + " numbers, and \(buffer.count) are wanted")
        }
        for start in stride(from: 0, to: buffer.count, by: Self.chunkCount) {
            let part = buffer[start..<min(start + Self.chunkCount, buffer.count)]
            let offset = dataOffset + tensor.bytes.lowerBound + start * tensor.type.byteCount
            if tensor.type == .float32 {
                try readExactly(at: offset, into: part)
            } else if !mapping.readHalves(tensor.type, at: offset, into: part) {
                throw StorageError(
                    .corrupt,
                    "\(path) became shorter, or its disk fails: tensor \(name.quoted) can't be read"
                )
            }
            try inspect(tensor, start, part)
        }
    }

    private func readExactly<Element: TensorElement>(
        at offset: Int, into buffer: Buffer<Element>
    ) throws(StorageError) {
        try unsafe buffer.withUnsafeBytes { (bytes) throws(StorageError) in
            try unsafe file.read(at: offset, into: bytes)
        }
    }

    private func check(
        _ tensor: SafetensorsHeader.Tensor, isRead: Bool, as wanted: String
    ) throws(StorageError) {
        guard isRead else {
            throw StorageError(
                .mismatch,
                "tensor \(tensor.name.quoted) in \(path) is \(tensor.type.rawValue), and \(wanted)"
                    + " is wanted")
        }
    }
}
