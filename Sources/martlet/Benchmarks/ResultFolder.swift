import FoundationEssentials
import Storage

/// The folder in which every finished run of a comparison is one file of JSON.
struct ResultFolder<Result: Codable> {
    let path: String

    private var runs: String { "\(path)/runs" }

    /// Writes the result of the run called `name`.
    func write(_ result: Result, name: String) throws {
        try FileManager.default.createDirectory(atPath: runs, withIntermediateDirectories: true)
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
        let bytes = Array(try encoder.encode(result)) + [UInt8(ascii: "\n")]
        try AtomicFile.write(bytes, to: "\(runs)/\(name).json")
    }

    /// All finished runs, in the order of their names; none where there is no folder.
    func results() throws -> [Result] {
        guard FileManager.default.fileExists(atPath: runs) else { return [] }
        return try FileManager.default.contentsOfDirectory(atPath: runs).sorted()
            .filter { $0.hasSuffix(".json") }
            .map { try Result.read("\(runs)/\($0)", as: "run") }
    }
}

extension Decodable {
    /// What a comparison has written to the file at `path`, which an error calls a `kind`.
    static func read(_ path: String, as kind: String) throws -> Self {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        do {
            return try decoder.decode(Self.self, from: Data(try AtomicFile.read(path)))
        } catch let error as DecodingError {
            throw StorageError(.corrupt, "\(path) is no \(kind) of this program", cause: error)
        }
    }
}

/// A page of Markdown with plots, which go to a folder beside it of the same name.
struct PlottedPage {
    /// Where the page is written.
    let path: String

    /// The folder of the plots, as the page links to it.
    var plotFolder: String { plots.split(separator: "/").last.map(String.init) ?? plots }

    private var plots: String {
        path.hasSuffix(".md") ? String(path.dropLast(3)) : path + ".plots"
    }

    func write(_ markdown: String, plots drawn: [(name: String, svg: String)]) throws {
        try FileManager.default.createDirectory(
            atPath: plots, withIntermediateDirectories: true)
        for plot in drawn {
            try AtomicFile.write(Array(plot.svg.utf8), to: "\(plots)/\(plot.name)")
        }
        try AtomicFile.write(Array(markdown.utf8), to: path)
    }
}
