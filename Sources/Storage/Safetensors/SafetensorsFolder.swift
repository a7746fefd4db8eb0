/// The weights of a Hugging Face folder: one `model.safetensors`, or several files and an index
/// that says which tensor is in which.
package struct SafetensorsFolder: Sendable {
    package static let singleName = "model.safetensors"
    package static let indexName = "model.safetensors.index.json"
    /// Files of weights in one folder, all of which are held open; the largest published models
    /// have some two hundred.
    static let fileCountMax = 512

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
        let index = path.appending(name: Self.indexName)
        let isIndexed = Folder.kind(of: index) != nil
        let isSingle = Folder.kind(of: path.appending(name: Self.singleName)) != nil
        let placed = isIndexed ? try Self.fileNames(byTensorIn: index) : []
        let names = isIndexed ? Set(placed.map(\.file)).sorted() : [Self.singleName]
        if isIndexed, isSingle, !names.contains(Self.singleName) {
            throw StorageError(
                .corrupt,
                "\(path) has both \(Self.singleName) and \(Self.indexName), which names other"
                    + " files; remove the one that is not this model")
        }
        guard names.count <= Self.fileCountMax else {
            throw StorageError(
                .unsupported,
                "\(index) names \(names.count) files, more than the limit of \(Self.fileCountMax)")
        }
        files = try Self.open(names, in: path, index: isIndexed ? index : nil)
        fileIndexByTensor = try Self.places(of: files, path: path)
        if isIndexed { try checkIndex(placed, names: names, index: index) }
    }

    private static func open(
        _ names: [String], in path: String, index: String?
    ) throws(StorageError) -> [SafetensorsFile] {
        var files: [SafetensorsFile] = []
        for name in names {
            do throws(StorageError) {
                files.append(try SafetensorsFile(path: path.appending(name: name)))
            } catch let error where error.code == .missing {
                guard let index else {
                    throw StorageError(
                        .missing, "\(path) has neither \(singleName) nor \(indexName)")
                }
                throw StorageError(.missing, "\(error.message), and \(index) places tensors in it")
            }
        }
        return files
    }

    /// Which of `files` holds each tensor, by what their headers say.
    private static func places(
        of files: [SafetensorsFile], path: String
    ) throws(StorageError) -> [String: Int] {
        var places: [String: Int] = [:]
        for (index, file) in files.enumerated() {
            for tensor in file.header.tensors {
                if let other = places.updateValue(index, forKey: tensor.name) {
                    throw StorageError(
                        .corrupt,
                        "tensor \(tensor.name.quoted) is in both \(files[other].path) and"
                            + " \(file.path)")
                }
            }
        }
        return places
    }

    /// Refuses an index that says anything else than the headers of its files.
    private func checkIndex(
        _ placed: [(tensor: String, file: String)], names: [String], index: String
    ) throws(StorageError) {
        for (tensor, file) in placed {
            guard let fileIndex = fileIndexByTensor[tensor], names[fileIndex] == file else {
                throw StorageError(
                    .corrupt,
                    "\(index) places tensor \(tensor.quoted) in \(file.quoted), which has it not")
            }
        }
        guard placed.count != fileIndexByTensor.count else { return }
        let listed = Set(placed.map(\.tensor))
        let name = tensorNames.first { !listed.contains($0) } ?? ""
        throw StorageError(
            .corrupt,
            "\(index) does not list tensor \(name.quoted), which is in"
                + " \(files[fileIndexByTensor[name] ?? 0].path)")
    }

    private static func fileNames(
        byTensorIn path: String
    ) throws(StorageError) -> [(tensor: String, file: String)] {
        let json = try JSON(file: path)
        guard let members = json["weight_map"]?.members else {
            throw StorageError(.corrupt, "\(path) has no weight_map from tensors to files")
        }
        guard !members.isEmpty else {
            throw StorageError(.corrupt, "the weight_map of \(path) is empty")
        }
        var names: [(tensor: String, file: String)] = []
        for member in members {
            guard let name = member.value.string else {
                throw StorageError(
                    .corrupt, "\(path) gives no file name for tensor \(member.name.quoted)")
            }
            // A name with a slash would lead out of the folder.
            guard !name.isEmpty, !name.utf8.contains(0x2f), !name.utf8.contains(0), name != "..",
                name != "."
            else {
                throw StorageError(
                    .corrupt,
                    "\(path) places tensor \(member.name.quoted) in \(name.quoted), which is no"
                        + " name of a file in its folder")
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
            let place = files.count == 1 ? files[0].path : path
            throw StorageError(.missing, "\(place) has no tensor \(name.quoted)")
        }
        return files[index]
    }
}
