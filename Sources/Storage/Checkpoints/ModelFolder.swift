package import Tensors

/// A whole model as a Hugging Face folder: what others read, and nothing that only a run needs.
package enum ModelFolder {
    /// Writes the model laid out as `layout` to a new folder at `path`, which appears whole or not
    /// at all: its `parameters` [layout.count] as `format` says, and `documents`, each the name and
    /// contents of a file.
    ///
    /// Throws `unwritable`, also where something is at `path`, or `mismatch` for a parameter that
    /// the format has no place for.
    package static func write(
        _ parameters: FloatBuffer, layout: ParameterLayout,
        documents: [(name: String, contents: [UInt8])], format: WeightFormat = .init(),
        to path: String
    ) throws(StorageError) {
        precondition(parameters.count == layout.count, "the model has \(layout.count) parameters")
        let folder = try AtomicFolder(path: path)
        for (name, contents) in documents {
            let file = try File.create(folder.partialPath.appending(name: name))
            try file.write(contents)
            try file.synchronize()
        }
        var weights = try SafetensorsFolderWriter(
            path: folder.partialPath, tensors: layout.tensors.map { ($0.name, $0.shape) },
            format: format)
        try weights.append(parameters)
        _ = try weights.finish()
        try folder.publish(subfolders: [])
    }
}

extension CheckpointDocuments {
    /// The files of a model's folder that they are.
    package var files: [(name: String, contents: [UInt8])] {
        [
            (CheckpointFiles.configuration, configuration),
            (CheckpointFiles.generation, generation),
            (CheckpointFiles.tokenizer, tokenizer),
            (CheckpointFiles.tokenizerConfiguration, tokenizerConfiguration),
        ]
    }
}
