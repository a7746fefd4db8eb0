internal import Synchronization
package import Tensors

/// Writes a checkpoint as its modules arrive, one after the other, so that no process ever holds
/// the whole model for it.
///
/// Nothing can be seen at its place before ``finish(run:)``; a writer that is dropped before leaves
/// nothing.
///
/// Calls block for the disk, and one waits for another.
package final class CheckpointWriter: Sendable {
    private struct Progress: ~Copyable {
        var model: SafetensorsFolderWriter?
        var outer: SafetensorsWriter?
        var nextModule = 0
        var manifest = CheckpointManifest()
    }

    /// Where the checkpoint will be.
    package var path: String { folder.path }
    private let folder: AtomicFolder
    private let layout: ParameterLayout
    private let resume: [ResumeState]
    private let progress: Mutex<Progress>

    /// Begins the checkpoint at `path`, where nothing may be, of a model laid out as `layout`, with
    /// the states in `resume` for each parameter; the weights are stored as `format` says.
    ///
    /// Throws `unwritable`.
    package init(
        path: String, layout: ParameterLayout, documents: CheckpointDocuments,
        resume: [ResumeState], format: WeightFormat = .init()
    ) throws(StorageError) {
        folder = try AtomicFolder(path: path)
        self.layout = layout
        self.resume = resume
        let place = folder.partialPath
        try Folder.create(place.appending(name: CheckpointFiles.resumeFolder))
        var start = Progress()
        for (name, bytes) in documents.files {
            start.manifest.files.append(try Self.write(bytes, name: name, in: place))
        }
        start.model = try SafetensorsFolderWriter(
            path: place, tensors: layout.tensors.map { ($0.name, $0.shape) }, format: format)
        if !resume.isEmpty {
            start.outer = try SafetensorsWriter(
                path: place.appending(name: CheckpointFiles.outer),
                header: SafetensorsHeader(tensors: Self.outerTensors(layout, resume)))
        }
        progress = Mutex(start)
    }

    /// All tensors of the resume file, in the order in which they arrive: by module, state, tensor.
    private static func outerTensors(
        _ layout: ParameterLayout, _ resume: [ResumeState]
    ) -> [(name: String, type: ScalarType, shape: [Int])] {
        layout.modules.indices.flatMap { module in
            let tensors = layout.tensors.filter { $0.module == module }
            return resume.flatMap { state in
                tensors.map { (state.tensorName($0.name), ScalarType.float32, $0.shape) }
            }
        }
    }

    private static func write(
        _ bytes: [UInt8], name: String, in folder: String
    ) throws(StorageError) -> CheckpointManifest.Entry {
        let file = try File.create(folder.appending(name: name))
        try file.write(bytes)
        try file.synchronize()
        return CheckpointManifest.Entry(
            name: name, byteCount: bytes.count, checksum: Checksum.of(bytes))
    }

    /// Writes module `module`, which must be the next one of the layout: its parameters [n], and
    /// one buffer [n] per state that was announced, in that order.
    ///
    /// Throws `unwritable`, or `mismatch` for a parameter that the format has no place for.
    package func append(
        module: Int, parameters: FloatBuffer, resume states: [FloatBuffer]
    ) throws(StorageError) {
        let count = layout.modules[module].range.count
        precondition(states.count == resume.count, "\(states.count) of \(resume.count) states")
        precondition(
            parameters.count == count && states.allSatisfy { $0.count == count },
            "module \(module) has \(count) parameters")
        try progress.withLock { (progress) throws(StorageError) in
            precondition(module == progress.nextModule, "module \(progress.nextModule) is next")
            try progress.model?.append(parameters)
            for state in states { try progress.outer?.append(state) }
            progress.nextModule += 1
        }
    }

    /// Completes the checkpoint, for which all modules must be written, with `run` as its
    /// `run.json`, and puts it in its place, durably.
    ///
    /// Returns its path. Throws `unwritable`, also where something is at its place by now.
    package func finish(run: [UInt8]) throws(StorageError) -> String {
        try progress.withLock { (progress) throws(StorageError) in
            precondition(
                progress.nextModule == layout.modules.count,
                "\(progress.nextModule) of \(layout.modules.count) modules written")
            var manifest = progress.manifest
            if let model = progress.model.take() {
                manifest.files += try model.finish().map {
                    .init(name: $0.name, byteCount: $0.byteCount, checksum: $0.checksum)
                }
            }
            if let outer = progress.outer.take() {
                let (byteCount, checksum) = try outer.finish()
                manifest.files.append(
                    .init(
                        name: CheckpointFiles.outer, byteCount: byteCount,
                        checksum: checksum.value))
            }
            let place = folder.partialPath
            manifest.files.append(try Self.write(run, name: CheckpointFiles.run, in: place))
            _ = try Self.write(manifest.encoded(), name: CheckpointFiles.manifest, in: place)
        }
        try folder.publish(subfolders: [CheckpointFiles.resumeFolder])
        return folder.path
    }
}
