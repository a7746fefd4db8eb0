/// The weights of a Hugging Face folder: one `model.safetensors`, or several files and an index
/// that says which tensor is in which.
package struct SafetensorsFolder: Sendable {
    package static let singleName = "model.safetensors"
    package static let indexName = "model.safetensors.index.json"

    /// Path of the folder.
    package let path: String
    /// In the order of their names.
    package let files: [SafetensorsFile]
    private let fileIndexByTensor: [String: Int]

    /// Opens the weights in the folder at `path`.
    ///
    /// Throws `missing`, `unreadable`, `corrupt` or `unsupported`.
    package init(path: String) throws(StorageError) {
        self.path = path
        let single = path.appending(name: Self.singleName)
        let index = path.appending(name: Self.indexName)
        if Folder.kind(of: single) != nil || Folder.kind(of: index) == nil {
            let file = try SafetensorsFile(path: single)
            files = [file]
            fileIndexByTensor = Dictionary(
                file.header.tensors.map { ($0.name, 0) }, uniquingKeysWith: { first, _ in first })
            return
        }
        let fileNameByTensor = try Self.fileNames(byTensorIn: index)
        let names = Set(fileNameByTensor.map(\.file)).sorted()
        var files: [SafetensorsFile] = []
        for name in names { files.append(try SafetensorsFile(path: path.appending(name: name))) }
        var fileIndexByTensor: [String: Int] = [:]
        for (tensor, file) in fileNameByTensor {
            guard let fileIndex = names.firstIndex(of: file) else { continue }
            guard files[fileIndex].header.tensor(named: tensor) != nil else {
                throw StorageError(
                    .corrupt, "\(index) places tensor \"\(tensor)\" in \(file), which has it not")
            }
            fileIndexByTensor[tensor] = fileIndex
        }
        self.files = files
        self.fileIndexByTensor = fileIndexByTensor
    }

    private static func fileNames(
        byTensorIn path: String
    ) throws(StorageError) -> [(tensor: String, file: String)] {
        let json = try JSON(file: path)
        guard let members = json["weight_map"]?.members else {
            throw StorageError(.corrupt, "\(path) has no weight_map from tensors to files")
        }
        var names: [(tensor: String, file: String)] = []
        for member in members {
            // A name with a slash would lead out of the folder.
            guard let name = member.value.string, !name.isEmpty, !name.utf8.contains(0x2f),
                !name.utf8.contains(0), name != "..", name != "."
            else {
                throw StorageError(
                    .corrupt, "\(path) gives no file name for tensor \"\(member.name)\"")
            }
            names.append((member.name, name))
        }
        return names
    }

    /// Names of all tensors, sorted.
    package var tensorNames: [String] { fileIndexByTensor.keys.sorted() }

    /// The file that holds the tensor called `name`.
    ///
    /// Throws `missing`.
    package func file(holding name: String) throws(StorageError) -> SafetensorsFile {
        guard let index = fileIndexByTensor[name] else {
            throw StorageError(
                .missing,
                "there is no tensor \"\(name)\" in \(files.map(\.path).joined(separator: ", "))")
        }
        return files[index]
    }
}
