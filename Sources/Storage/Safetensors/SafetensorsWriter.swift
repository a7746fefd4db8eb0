internal import CKernels
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
        try append(elements, as: Element.scalarType)
    }

    /// Numbers rounded at a time: what stays in the second-level cache.
    private static let chunkCount = 1 << 16

    /// Writes `floats` as the next numbers of the file, each rounded to the type of the tensor
    /// that it falls into: F32, BF16 or F16, to nearest with ties to even.
    ///
    /// They may be a part of a tensor, or several tensors that follow one another. Throws
    /// `unwritable`, or `mismatch` for a number that is not finite in 16 bits.
    package mutating func append(rounding floats: FloatBuffer) throws(StorageError) {
        var start = 0
        while start < floats.count {
            while tensorIndex < header.tensors.count, header.tensors[tensorIndex].count == 0 {
                tensorIndex += 1
            }
            precondition(
                tensorIndex < header.tensors.count, "more numbers than the header announces")
            let tensor = header.tensors[tensorIndex]
            let left = (tensor.bytes.upperBound - dataByteCount) / tensor.type.byteCount
            let count = min(left, floats.count - start, Self.chunkCount)
            let part = floats[start..<start + count]
            if tensor.type == .float32 {
                try append(part)
            } else {
                try append(try rounded(part, of: tensor), as: tensor.type)
            }
            start += count
        }
    }

    private func rounded(
        _ floats: FloatBuffer, of tensor: SafetensorsHeader.Tensor
    ) throws(StorageError) -> Buffer<UInt16> {
        let halves = Buffer<UInt16>(count: floats.count)
        let infinity: UInt16
        switch tensor.type {
        case .bfloat16:
            infinity = 0x7f80
            unsafe floats.withUnsafePointer { source in
                unsafe halves.withUnsafePointer { target in
                    unsafe martlet_bf16_from_float(floats.count, source, target)
                }
            }
        case .float16:
            infinity = 0x7c00
            unsafe floats.withUnsafePointer { source in
                unsafe halves.withUnsafePointer { target in
                    unsafe martlet_f16_from_float(floats.count, source, target)
                }
            }
        default: preconditionFailure("floats for \(tensor.name), a \(tensor.type.rawValue)")
        }
        if let index = halves.firstIndex(atLeast: infinity) {
            throw StorageError(
                .mismatch,
                "\(floats[index]) in tensor \(tensor.name.quoted) has no place in"
                    + " \(tensor.type.rawValue), and \(file.path) is not written; choose another"
                    + " type")
        }
        return halves
    }

    /// Writes `elements`, whose bytes are numbers of `type`.
    private mutating func append<Element>(
        _ elements: Buffer<Element>, as type: ScalarType
    ) throws(StorageError) {
        let end = dataByteCount + elements.count * MemoryLayout<Element>.stride
        precondition(end <= header.dataByteCount, "more numbers than the header announces")
        while tensorIndex < header.tensors.count, dataByteCount < end {
            let tensor = header.tensors[tensorIndex]
            precondition(
                tensor.bytes.isEmpty || tensor.type == type,
                "\(type.rawValue) numbers for \(tensor.name), which is \(tensor.type.rawValue)")
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

extension Buffer<UInt16> {
    /// Index of the first element whose bits, save the sign, are `limit` or more.
    fileprivate func firstIndex(atLeast limit: UInt16) -> Int? {
        unsafe withUnsafePointer { start in
            // First without a branch, so that it is fast where there is none.
            var worst: UInt16 = 0
            for index in 0..<count { worst = unsafe Swift.max(worst, start[index] & 0x7fff) }
            guard worst >= limit else { return nil }
            return (0..<count).first { unsafe start[$0] & 0x7fff >= limit }
        }
    }
}
