import Foundation
import Storage
import Tensors
import Testing

@Suite struct CheckpointTests {
    private func load(_ path: String, layout: ParameterLayout = smallLayout) throws -> [Float] {
        let parameters = FloatBuffer(count: layout.count)
        try Checkpoint.open(path).loadParameters(layout: layout, into: parameters)
        return parameters.array
    }

    @Test func readsWhatItWrites() throws {
        let folder = try TemporaryFolder()
        let path = folder.path("deep/down/checkpoint")
        try writeSmallCheckpoint(to: path)
        #expect(try load(path) == smallParameters.array)

        let checkpoint = try Checkpoint.open(path)
        #expect(checkpoint.isResumable)
        #expect(checkpoint.configuration == smallDocuments.configuration)
        #expect(try checkpoint.run() == smallRun)
        #expect(try checkpoint.tokenizer().fileBytes == ByteTokenizer.fileBytes)
        #expect(try checkpoint.resumeStates() == [.outerMomentum])
        for (index, module) in smallLayout.modules.enumerated() {
            let values = FloatBuffer(count: module.range.count)
            try checkpoint.loadModule(index, layout: smallLayout, into: values)
            #expect(values.array == smallParameters[module.range].array)
            try checkpoint.loadResumeState(
                .outerMomentum, module: index, layout: smallLayout, into: values)
            #expect(values.array == smallMomentum[module.range].array)
            let error = try code {
                try checkpoint.loadResumeState(
                    .firstMoment, module: index, layout: smallLayout, into: values)
            }
            #expect(error == .missing)
        }
        #expect(
            try FileManager.default.subpathsOfDirectory(atPath: path).sorted() == [
                "config.json", "generation_config.json", "martlet", "martlet/manifest.json",
                "martlet/outer.safetensors", "martlet/run.json", "model.safetensors",
                "tokenizer.json", "tokenizer_config.json",
            ])
    }

    @Test func keepsAllStates() throws {
        let folder = try TemporaryFolder()
        let path = folder.path("checkpoint")
        let writer = try CheckpointWriter(
            path: path, layout: smallLayout, documents: smallDocuments,
            resume: ResumeState.allCases)
        for (index, module) in smallLayout.modules.enumerated() {
            let states = ResumeState.allCases.indices.map {
                randomBuffer(module.range.count, seed: UInt64(10 + $0))
            }
            try writer.append(
                module: index, parameters: smallParameters[module.range], resume: states)
        }
        _ = try writer.finish(run: smallRun)
        let checkpoint = try Checkpoint.open(path)
        #expect(try checkpoint.resumeStates() == ResumeState.allCases)
        let values = FloatBuffer(count: smallLayout.modules[1].range.count)
        try checkpoint.loadResumeState(
            .secondMoment, module: 1, layout: smallLayout, into: values)
        #expect(values.array == randomBuffer(values.count, seed: 12).array)
    }

    @Test func appearsWholeOrNotAtAll() throws {
        let folder = try TemporaryFolder()
        do {
            let writer = try CheckpointWriter(
                path: folder.path("checkpoint"), layout: smallLayout, documents: smallDocuments,
                resume: [])
            try writer.append(
                module: 0, parameters: smallParameters[smallLayout.modules[0].range], resume: [])
            #expect(try folder.names().allSatisfy { $0.hasPrefix(".checkpoint.partial-") })
        }
        // Dropped without `finish`.
        #expect(try folder.names() == [])
    }

    @Test func neverOverwrites() throws {
        let folder = try TemporaryFolder()
        let path = folder.path("checkpoint")
        try writeSmallCheckpoint(to: path)
        #expect(try code { try writeSmallCheckpoint(to: path) } == .unwritable)

        let late = try CheckpointWriter(
            path: folder.path("late"), layout: smallLayout, documents: smallDocuments, resume: [])
        for (index, module) in smallLayout.modules.enumerated() {
            try late.append(module: index, parameters: smallParameters[module.range], resume: [])
        }
        try folder.write("precious", to: "late/file")
        #expect(try code { _ = try late.finish(run: smallRun) } == .unwritable)
        #expect(try bytes(at: folder.path("late/file")) == Array("precious".utf8))
    }

    @Test func saysThatAFolderCanNotBeWritten() throws {
        let folder = try TemporaryFolder()
        let file = try folder.write("a file", to: "file")
        for path in ["\(file)/checkpoint", "/proc/martlet/checkpoint"] {
            #expect(try code { try writeSmallCheckpoint(to: path) } == .unwritable)
        }
    }

    // MARK: What does not belong to the model

    @Test func refusesAnotherShape() throws {
        let folder = try TemporaryFolder()
        let path = folder.path("checkpoint")
        try writeSmallCheckpoint(to: path)
        var modules = smallLayout.modules.enumerated().map { index, module in
            (
                name: module.name,
                tensors: smallLayout.tensors.filter { $0.module == index }.map {
                    (name: $0.name, shape: $0.shape)
                }
            )
        }
        let head = modules[2]
        modules[2].tensors[1].shape = [4, 5]
        let reshaped = #expect(throws: StorageError.self) {
            try load(path, layout: ParameterLayout(modules: modules))
        }
        #expect(reshaped?.code == .mismatch)
        #expect(reshaped?.message.contains("lm_head.weight") == true)
        #expect(reshaped?.message.contains("model.safetensors") == true)
        #expect(reshaped?.message.contains("[5, 4]") == true)

        modules[2] = head
        modules[2].tensors.append(("model.extra.weight", [2]))
        let missing = #expect(throws: StorageError.self) {
            try load(path, layout: ParameterLayout(modules: modules))
        }
        #expect(missing?.code == .mismatch)
        #expect(missing?.message.contains("model.extra.weight") == true)

        modules[2] = head
        modules.remove(at: 1)
        let surplus = #expect(throws: StorageError.self) {
            try load(path, layout: ParameterLayout(modules: modules))
        }
        #expect(surplus?.code == .mismatch)
        #expect(surplus?.message.contains("2 of its tensors") == true)
    }

    @Test(arguments: [Float.nan, .infinity, -.infinity])
    func refusesNumbersThatAreNotFinite(_ value: Float) throws {
        let folder = try TemporaryFolder()
        let path = folder.path("checkpoint")
        let parameters = smallParameters.duplicate()
        parameters[smallLayout.count - 1] = value
        try writeSmallCheckpoint(to: path, parameters: parameters)
        let error = #expect(throws: StorageError.self) { try load(path) }
        #expect(error?.code == .corrupt)
        #expect(error?.message.contains("lm_head.weight") == true)
    }

    @Test func refusesAnotherType() throws {
        let folder = try TemporaryFolder()
        try folder.write(smallDocuments.configuration, to: "config.json")
        var writer = try SafetensorsWriter(
            path: folder.path("model.safetensors"),
            header: SafetensorsHeader(
                tensors: smallLayout.tensors.map { ($0.name, .int32, $0.shape) }))
        try writer.append(Buffer<Int32>(count: smallLayout.count))
        _ = try writer.finish()
        #expect(try code { _ = try load(folder.path) } == .mismatch)
    }

    // MARK: Folders of others

    @Test func loadsAPlainHuggingFaceFolder() throws {
        let folder = try TemporaryFolder()
        let path = folder.path("checkpoint")
        try writeSmallCheckpoint(to: path)
        try FileManager.default.removeItem(atPath: path + "/martlet")
        #expect(try load(path) == smallParameters.array)
        let checkpoint = try Checkpoint.open(path)
        #expect(!checkpoint.isResumable)
        #expect(try code { _ = try checkpoint.run() } == .missing)
        #expect(try checkpoint.resumeStates() == [])
    }

    @Test func saysWhatIsMissing() throws {
        let folder = try TemporaryFolder()
        #expect(try code { _ = try Checkpoint.open(folder.path("none")) } == .missing)
        #expect(try code { _ = try Checkpoint.open(folder.path) } == .missing)
        for name in [
            "config.json", "tokenizer.json", "model.safetensors", "martlet/manifest.json",
            "martlet/run.json", "martlet/outer.safetensors",
        ] {
            let path = folder.path("checkpoint-\(name.count)")
            try writeSmallCheckpoint(to: path)
            try FileManager.default.removeItem(atPath: "\(path)/\(name)")
            #expect(try code { _ = try Checkpoint.open(path) } == .corrupt, "\(name)")
            try FileManager.default.removeItem(atPath: path)
        }
    }
}
