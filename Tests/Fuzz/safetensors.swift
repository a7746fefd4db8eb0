import Glibc
import Storage
import Tensors

/// Any file is refused, or sound: its tensors follow one another without gap, and all can be read.
///
/// Each input is tried as it is, and with a length put before it that fits its last brace, which
/// mutations alone would seldom hit.
func fuzz(_ bytes: [UInt8]) {
    open(bytes)
    let lengthByteCount = 8
    guard let brace = bytes.lastIndex(of: UInt8(ascii: "}")), brace >= lengthByteCount else {
        return
    }
    let headerByteCount = brace + 1 - lengthByteCount
    let length = (0..<lengthByteCount).map {
        UInt8(truncatingIfNeeded: headerByteCount >> (8 * $0))
    }
    open(length + bytes[lengthByteCount...])
}

/// A file without a name, rewritten for each input.
private let descriptor = fileno(tmpfile())

private func open(_ bytes: [UInt8]) {
    precondition(ftruncate(descriptor, 0) == 0 && descriptor >= 0, "no file")
    precondition(pwrite(descriptor, bytes, bytes.count, 0) == bytes.count, "no space")
    let path = "/proc/self/fd/\(descriptor)"
    guard let file = try? SafetensorsFile(path: path) else { return }
    var end = 0
    for tensor in file.header.tensors {
        precondition(tensor.bytes.lowerBound == end, "a gap before \(tensor.name)")
        end = tensor.bytes.upperBound
        precondition(tensor.shape.allSatisfy { $0 >= 0 }, "a negative shape")
        do throws(StorageError) {
            let numbers = try file.floats(tensor.name)
            precondition(numbers.count == tensor.shape.reduce(1, *), "another count than shape")
        } catch {
            precondition(error.code == .mismatch, "\(error)")
        }
    }
    precondition(end == file.header.dataByteCount && end < bytes.count, "another end than it has")
    let again = try? SafetensorsHeader(
        parsing: Array(file.header.encoded().dropFirst(8)), dataByteCount: end, path: path)
    precondition(again == file.header, "it is another header once it is written")
}
