import Foundation
import MoE
import Storage
import Tensors

/// A folder for models and runs, with a text for them; it goes with the test.
final class ModelFolders: Sendable {
    static let text = String(
        repeating: "The martlet flies over the sea, and over the other. ", count: 200)

    private let base = NSTemporaryDirectory() + "martlet-start-" + UUID().uuidString

    init() throws {
        try FileManager.default.createDirectory(
            atPath: base, withIntermediateDirectories: true)
        try Data(Self.text.utf8).write(to: URL(fileURLWithPath: path("text.txt")))
    }

    deinit { try? FileManager.default.removeItem(atPath: base) }

    func path(_ name: String) -> String { "\(base)/\(name)" }

    /// Writes a folder without a tokenizer, whose config.json describes `model`, and whose tensors
    /// are laid out `as` the model's, unless told otherwise; returns their numbers, which all types
    /// hold exactly.
    ///
    /// `change` may give it others.
    @discardableResult
    func write(
        _ model: ModelConfiguration, as layout: ParameterLayout? = nil,
        type: ScalarType = .float32, to name: String, change: (FloatBuffer) -> Void = { _ in }
    ) throws -> FloatBuffer {
        let layout = layout ?? model.layout
        let parameters = FloatBuffer((0..<layout.count).map { Float($0 % 127) / 16 - 4 })
        change(parameters)
        try ModelFolder.write(
            parameters, layout: layout,
            documents: [("config.json", Array(try model.configurationJSON()))],
            format: WeightFormat(type: type), to: path(name))
        return parameters
    }
}

extension ModelConfiguration {
    /// Two layers of three experts, eight wide, which know all bytes.
    static var small: ModelConfiguration {
        ModelConfiguration(
            vocabularySize: 264, hiddenSize: 8, layers: 2, heads: 2, keyValueHeads: 1,
            headWidth: 4, experts: 3, expertsPerToken: 2, expertHiddenSize: 5, positionsMax: 32)
    }

    var masked: ModelConfiguration {
        var model = self
        model.masksExperts = true
        return model
    }
}
