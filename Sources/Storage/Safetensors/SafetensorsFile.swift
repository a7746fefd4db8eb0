package import Tensors

/// A safetensors file opened for reading.
///
/// Its header is checked as a whole when it is opened; numbers are read when asked for, straight
/// into the caller's buffer.
package struct SafetensorsFile: Sendable {
    package let path: String
    package let header: SafetensorsHeader
    private let file: File
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
    }

    /// Describes the tensor called `name`.
    ///
    /// Throws `missing`.
    package func tensor(named name: String) throws(StorageError) -> SafetensorsHeader.Tensor {
        guard let tensor = header.tensor(named: name) else {
            throw StorageError(.missing, "\(path) has no tensor \"\(name)\"")
        }
        return tensor
    }

    /// Reads all of tensor `name` into `buffer`, which has as many elements.
    ///
    /// F32, F16 and BF16 are read. Throws `missing`, `unreadable`, `corrupt`, or `mismatch` for
    /// other types and counts.
    package func read(_ name: String, into buffer: FloatBuffer) throws(StorageError) {
        let tensor = try tensor(named: name)
        switch tensor.type {
        case .float16:
            try readHalves(tensor, into: buffer) { Float(Float16(bitPattern: $0)) }
        case .bfloat16:
            try readHalves(tensor, into: buffer) { Float(bitPattern: UInt32($0) << 16) }
        default:
            try readExactly(tensor, into: buffer)
        }
    }

    /// Reads all of tensor `name`, converted as in ``read(_:into:)``.
    ///
    /// Throws the same errors.
    package func floats(_ name: String) throws(StorageError) -> FloatBuffer {
        let buffer = FloatBuffer(count: try tensor(named: name).count)
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
        let buffer = Buffer<Element>(count: tensor.count)
        try readExactly(tensor, into: buffer)
        return buffer
    }

    private func readExactly<Element: TensorElement>(
        _ tensor: SafetensorsHeader.Tensor, into buffer: Buffer<Element>
    ) throws(StorageError) {
        guard tensor.type == Element.scalarType else {
            throw StorageError(
                .mismatch,
                "tensor \"\(tensor.name)\" in \(path) is \(tensor.type.rawValue), and"
                    + " \(Element.scalarType.rawValue) is wanted")
        }
        try check(tensor, fits: buffer.count)
        try unsafe buffer.withUnsafeBytes { (bytes) throws(StorageError) in
            try unsafe file.read(at: dataOffset + tensor.bytes.lowerBound, into: bytes)
        }
    }

    /// Elements converted at a time: what stays in the second-level cache.
    private static let chunkCount = 1 << 16

    private func readHalves(
        _ tensor: SafetensorsHeader.Tensor, into buffer: FloatBuffer,
        _ convert: (UInt16) -> Float
    ) throws(StorageError) {
        try check(tensor, fits: buffer.count)
        let chunk = Buffer<UInt16>(count: min(Self.chunkCount, buffer.count))
        for start in stride(from: 0, to: buffer.count, by: Self.chunkCount) {
            let count = min(Self.chunkCount, buffer.count - start)
            let offset = dataOffset + tensor.bytes.lowerBound + 2 * start
            try unsafe chunk[0..<count].withUnsafeBytes { (bytes) throws(StorageError) in
                try unsafe file.read(at: offset, into: bytes)
            }
            unsafe buffer[start..<start + count].withUnsafePointer { target in
                unsafe chunk.withUnsafePointer { source in
                    for index in 0..<count { unsafe target[index] = convert(source[index]) }
                }
            }
        }
    }

    private func check(
        _ tensor: SafetensorsHeader.Tensor, fits count: Int
    ) throws(StorageError) {
        guard tensor.count == count else {
            throw StorageError(
                .mismatch,
                "tensor \"\(tensor.name)\" in \(path) has shape \(tensor.shape), \(tensor.count)"
                    + " numbers, and \(count) are wanted")
        }
    }
}
