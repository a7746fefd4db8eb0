package import Tensors

/// A checkpoint folder, opened and found sound: one of ours, or any Hugging Face folder, from which
/// a model can be loaded but no run resumed.
package struct Checkpoint: Sendable {
    package let path: String
    /// Whether it holds what a run needs to go on.
    package let isResumable: Bool
    /// The contents of `config.json`.
    package let configuration: [UInt8]
    private let weights: SafetensorsFolder

    /// Opens the checkpoint folder at `path` and verifies every file that its manifest lists, which
    /// reads all of it once.
    ///
    /// Throws `missing`, `unreadable`, `unsupported`, or `corrupt`.
    package static func open(_ path: String) throws(StorageError) -> Checkpoint {
        guard Folder.isFolder(path) else {
            throw StorageError(.missing, "there is no checkpoint folder at \(path)")
        }
        let resumeFolder = path.appending(name: CheckpointFiles.resumeFolder)
        let isResumable = Folder.kind(of: resumeFolder) != nil
        if isResumable { try verify(path, readingContents: true) }
        return Checkpoint(
            path: path, isResumable: isResumable,
            configuration: try AtomicFile.read(
                path.appending(name: CheckpointFiles.configuration)),
            weights: try SafetensorsFolder(path: path))
    }

    /// Checks the files of our checkpoint at `path` against its manifest: their sizes, and their
    /// checksums if `readingContents`.
    ///
    /// Throws `unreadable`, `unsupported`, or `corrupt`.
    static func verify(_ path: String, readingContents: Bool) throws(StorageError) {
        do throws(StorageError) {
            let manifest = try CheckpointManifest(checkpoint: path)
            try manifest.verify(checkpoint: path, readingContents: readingContents)
        } catch let error where error.code == .missing {
            throw StorageError(.corrupt, "\(path) is not complete", cause: error)
        }
    }

    /// The checkpoint's tokenizer.
    ///
    /// Throws `missing`, `unreadable`, `corrupt`, or `unsupported` for one of another kind.
    package func tokenizer() throws(StorageError) -> Tokenizer {
        try Tokenizer(path: path.appending(name: CheckpointFiles.tokenizer))
    }

    /// The contents of `run.json`, as the writer gave them.
    ///
    /// Throws `missing` for a checkpoint that can't be resumed, or `unreadable`.
    package func run() throws(StorageError) -> [UInt8] {
        try AtomicFile.read(path.appending(name: CheckpointFiles.run))
    }

    /// Reads all parameters into `parameters` [layout.count].
    ///
    /// Throws `mismatch` where the model is of another shape: a tensor that is missing, of another
    /// shape or type, or too many; `corrupt` for numbers that are not finite; `unreadable`.
    package func loadParameters(
        layout: ParameterLayout, into parameters: FloatBuffer
    ) throws(StorageError) {
        try weights.loadParameters(layout: layout, into: parameters)
    }

    /// Finds whatever ``loadParameters(layout:into:)`` would refuse before it reads a number.
    ///
    /// Throws `mismatch`.
    package func check(layout: ParameterLayout) throws(StorageError) { try weights.check(layout) }

    /// Reads the parameters of module `module` alone into `parameters` [its count].
    ///
    /// Where the checkpoint is laid out as `stored`, which may lack tensors of `layout`, the
    /// numbers of those stay as they are. Throws as ``loadParameters(layout:into:)``, but does not
    /// look at other modules.
    package func loadModule(
        _ module: Int, layout: ParameterLayout, storedAs stored: ParameterLayout? = nil,
        into parameters: FloatBuffer
    ) throws(StorageError) {
        try forEachTensor(of: module, layout, in: parameters) {
            (tensor, part) throws(StorageError) in
            if let stored, stored.tensor(named: tensor.name) == nil { return }
            try weights.load(tensor, into: part)
            try weights.checkCopies(of: tensor, part, in: layout)
        }
    }

    /// The states that were kept for each parameter.
    ///
    /// Throws `unreadable` or `corrupt`.
    package func resumeStates() throws(StorageError) -> [ResumeState] {
        guard let file = try outerFile() else { return [] }
        return ResumeState.allCases.filter { state in
            file.header.tensors.contains { $0.name.hasPrefix(state.tensorName("")) }
        }
    }

    /// Reads the kept `state` of module `module` into `values` [its count].
    ///
    /// Throws `missing` where none was kept, or as ``loadParameters(layout:into:)``.
    package func loadResumeState(
        _ state: ResumeState, module: Int, layout: ParameterLayout, into values: FloatBuffer
    ) throws(StorageError) {
        guard let file = try outerFile(), try resumeStates().contains(state) else {
            throw StorageError(
                .missing, "\(path) has no \(state.rawValue): no run can be resumed from it")
        }
        try forEachTensor(of: module, layout, in: values) {
            (tensor, part) throws(StorageError) in
            try file.load(tensor, named: state.tensorName(tensor.name), into: part)
        }
    }

    private func outerFile() throws(StorageError) -> SafetensorsFile? {
        let outer = path.appending(name: CheckpointFiles.outer)
        return Folder.kind(of: outer) == nil ? nil : try SafetensorsFile(path: outer)
    }

    /// Hands out each tensor of module `module` with its part of `values` [the module's count].
    private func forEachTensor(
        of module: Int, _ layout: ParameterLayout, in values: FloatBuffer,
        _ body: (ParameterLayout.Tensor, FloatBuffer) throws(StorageError) -> Void
    ) throws(StorageError) {
        let range = layout.modules[module].range
        precondition(values.count == range.count, "module \(module) has \(range.count) parameters")
        for tensor in layout.tensors where tensor.module == module {
            let start = tensor.range.lowerBound - range.lowerBound
            try body(tensor, values[start..<start + tensor.range.count])
        }
    }
}
