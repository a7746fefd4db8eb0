/// Finds the text files that a corpus is made of, always in the same order.

/// One file of text, as taken from the disk.
package struct CorpusDocument: Sendable, Equatable {
    /// Its path below the folder that was given; its name if it was given itself.
    package let name: String
    package let bytes: [UInt8]

    package init(name: String, bytes: [UInt8]) {
        self.name = name
        self.bytes = bytes
    }
}

extension CorpusDocument {
    /// All documents at `paths`, files or folders, in memory; of JSONL files, the text in the
    /// member `textKey` of each line.
    ///
    /// Throws as ``Corpus/load(paths:heldOutFraction:limits:)`` does, and `corrupt` for a bad line.
    package static func load(
        paths: [String], textKey: String, limits: CorpusLimits = CorpusLimits()
    ) throws(StorageError) -> [CorpusDocument] {
        var documents: [CorpusDocument] = []
        for document in try CorpusWalk.take(paths, limits: limits).documents {
            guard DocumentLines.isName(document.name) else {
                documents.append(document)
                continue
            }
            let lines = document.bytes.split(
                separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
            for (index, line) in lines.enumerated() where !DocumentLines.isBlank(line) {
                let place = "line \(index + 1) of \(document.name)"
                let text = try DocumentLines.text(of: line, key: textKey, place)
                documents.append(CorpusDocument(name: place, bytes: text))
            }
        }
        return documents
    }
}

/// Limits on what is taken into a corpus; all of it is held in memory.
package struct CorpusLimits: Sendable, Equatable {
    /// Larger files are left out.
    package var fileBytesMax = 256 << 20
    /// More text than this is an error.
    package var totalBytesMax = 4 << 30
    /// More files than this is an error.
    package var filesMax = 1_000_000
    /// Folders further down are left out.
    package var depthMax = 64

    package init() {}
}

/// Why a file was left out.
package enum CorpusSkip: Sendable, Equatable, CustomStringConvertible {
    case hidden
    case link
    /// A device, a pipe, a socket.
    case special
    case empty
    /// It holds NUL bytes or is not UTF-8.
    case binary
    case tooLarge(bytes: Int)
    case tooDeep
    case unreadable(String)
    /// It holds the same bytes as a file taken before.
    case duplicate(of: String)

    package var description: String {
        switch self {
        case .hidden: "hidden"
        case .link: "a symbolic link"
        case .special: "no regular file"
        case .empty: "empty"
        case .binary: "not text in UTF-8"
        case .tooLarge(let bytes): "too large (\(bytes) bytes)"
        case .tooDeep: "too deep"
        case .unreadable(let reason): "unreadable (\(reason))"
        case .duplicate(let original): "the same as \(original)"
        }
    }
}

/// A walk over files and folders, in the order given and sorted by bytes within each folder.
struct CorpusWalk {
    let limits: CorpusLimits
    private(set) var documents: [CorpusDocument] = []
    private(set) var skipped: [(path: String, reason: CorpusSkip)] = []
    private var byteCount = 0
    /// Index of the documents with a checksum.
    private var indexesByChecksum: [UInt32: [Int]] = [:]

    init(limits: CorpusLimits) { self.limits = limits }

    /// A walk over all of `paths`, which found something.
    ///
    /// Throws `missing` where there is nothing, or no text; `unreadable`; `unsupported` beyond the
    /// limits.
    static func take(_ paths: [String], limits: CorpusLimits) throws(StorageError) -> CorpusWalk {
        var walk = CorpusWalk(limits: limits)
        for path in paths { try walk.take(path) }
        guard !walk.documents.isEmpty else {
            let reason = walk.skipped.first.map { ": \($0.path) is \($0.reason)" } ?? ""
            throw StorageError(
                .missing, "no text in \(paths.joined(separator: ", "))\(reason)")
        }
        return walk
    }

    /// Takes what is at `path`: a file, or all text files below a folder.
    ///
    /// Throws `missing`, `unreadable`, or `unsupported` beyond the limits.
    mutating func take(_ path: String) throws(StorageError) {
        if Folder.isFolder(path) {
            try takeFolder(path, name: "", depth: 0)
        } else {
            try takeFile(path, name: path.lastName, file: try File.open(path))
        }
    }

    private mutating func takeFolder(
        _ path: String, name: String, depth: Int
    ) throws(StorageError) {
        for child in try Folder.names(in: path) {
            let childPath = path.appending(name: child)
            let childName = name.isEmpty ? child : "\(name)/\(child)"
            if child.hasPrefix(".") {
                skipped.append((childPath, .hidden))
                continue
            }
            do throws(StorageError) {
                switch Folder.kind(of: childPath) {
                case .folder where depth + 1 == limits.depthMax:
                    skipped.append((childPath, .tooDeep))
                case .folder: try takeFolder(childPath, name: childName, depth: depth + 1)
                case .file: try takeFile(childPath, name: childName, file: File.open(childPath))
                case .link: skipped.append((childPath, .link))
                case .other: skipped.append((childPath, .special))
                case nil: skipped.append((childPath, .unreadable("it went away")))
                }
            } catch let error where error.code == .unreadable || error.code == .missing {
                skipped.append((childPath, .unreadable(error.description)))
            }
        }
    }

    private mutating func takeFile(
        _ path: String, name: String, file: File
    ) throws(StorageError) {
        let size = try file.byteCount()
        guard size > 0 else { return skipped.append((path, .empty)) }
        guard size <= limits.fileBytesMax else {
            return skipped.append((path, .tooLarge(bytes: size)))
        }
        let bytes = try file.read(at: 0, count: size)
        guard Self.isText(bytes) else { return skipped.append((path, .binary)) }
        let checksum = Checksum.of(bytes)
        for index in indexesByChecksum[checksum] ?? [] where documents[index].bytes == bytes {
            return skipped.append((path, .duplicate(of: documents[index].name)))
        }
        byteCount += size
        guard byteCount <= limits.totalBytesMax, documents.count < limits.filesMax else {
            throw StorageError(
                .unsupported,
                "the corpus is larger than \(limits.totalBytesMax) bytes or \(limits.filesMax)"
                    + " files, as many as are held in memory; give fewer (\(path) is too much)")
        }
        indexesByChecksum[checksum, default: []].append(documents.count)
        documents.append(CorpusDocument(name: name, bytes: bytes))
    }

    private static func isText(_ bytes: [UInt8]) -> Bool {
        String(validating: bytes, as: UTF8.self) != nil && !bytes.contains(0)
    }
}
