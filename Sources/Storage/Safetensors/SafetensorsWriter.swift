package import Tensors

/// Writes a safetensors file from front to back, one buffer after the other, with a running
/// checksum: no more than the caller's buffer is ever in memory.
package struct SafetensorsWriter: ~Copyable, Sendable {
    private let header: SafetensorsHeader
    private let file: File
    /// Bytes of data written so far.
    private var dataByteCount = 0
    /// Index of the first tensor that is not written whole.
    private var tensorIndex = 0
    /// Over everything written so far, header included.
    private(set) var checksum = Checksum()
    private let headerByteCount: Int

    /// Creates the file at `path`, where nothing may be yet, and writes `header`.
    ///
    /// Throws `unwritable`.
    package init(path: String, header: SafetensorsHeader) throws(StorageError) {
        try self.init(file: try File.create(path), header: header)
    }

    init(file: File, header: SafetensorsHeader) throws(StorageError) {
        self.file = file
        self.header = header
        let bytes = header.encoded()
        headerByteCount = bytes.count
        try file.write(bytes)
        checksum.update(bytes)
    }

    /// Writes `elements` as the next numbers of the file; they may be a part of a tensor, or
    /// several tensors of this type that follow one another.
    ///
    /// Throws `unwritable`.
    package mutating func append<Element: TensorElement>(
        _ elements: Buffer<Element>
    ) throws(StorageError) {
        let end = dataByteCount + elements.count * MemoryLayout<Element>.stride
        precondition(end <= header.dataByteCount, "more numbers than the header announces")
        while tensorIndex < header.tensors.count, dataByteCount < end {
            let tensor = header.tensors[tensorIndex]
            precondition(
                tensor.bytes.isEmpty || tensor.type == Element.scalarType,
                "\(Element.self) numbers for \(tensor.name), which is \(tensor.type.rawValue)")
            dataByteCount = min(end, tensor.bytes.upperBound)
            if dataByteCount == tensor.bytes.upperBound { tensorIndex += 1 }
        }
        try elements.withBytes { (bytes) throws(StorageError) in
            try file.write(bytes)
            checksum.update(bytes)
        }
    }

    /// Makes the file durable, which must hold all numbers by now.
    ///
    /// Returns its bytes and their checksum. Throws `unwritable`.
    package consuming func finish() throws(StorageError) -> (byteCount: Int, checksum: Checksum) {
        precondition(
            dataByteCount == header.dataByteCount,
            "\(dataByteCount) bytes of numbers written, \(header.dataByteCount) announced")
        try file.synchronize()
        return (headerByteCount + dataByteCount, checksum)
    }
}
