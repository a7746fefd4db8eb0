/// What a preparation will read: every source, and how it is cut into parts, each of which becomes
/// one shard of training text and one of held-out text.
///
/// It follows from the sources and the settings alone, so that any number of workers, and a run
/// that was stopped and began again, make the same files.
struct PreparationPlan: Sendable {
    /// A file that is read.
    struct Source: Sendable, Equatable {
        let path: String
        /// Its path below the folder that was given; its name if it was given itself.
        let name: String
        let byteCount: Int
        let checksum: UInt32
        /// Whether each line is a document in JSON; else the file is one document.
        let isLines: Bool
    }

    /// Some bytes of a source: whole lines, or all of it.
    struct Slice: Sendable, Equatable {
        let source: Int
        var range: Range<Int>
        /// Number of its first line, from 1.
        let firstLine: Int
    }

    var sources: [Source] = []
    /// The slices of each part.
    var parts: [[Slice]] = []
    var documents = 0
    var byteCount = 0
    var skipped: [(path: String, reason: CorpusSkip)] = []
    /// Whether whole documents are held out; else the end of each.
    var holdsOutWholeDocuments = false

    /// With fewer held-out documents to be expected, the end of each document is held out: of so
    /// few, none might be.
    static let heldOutDocumentsMin = 10.0
    /// Bytes of a part by default, from a sixty-fourth of all, within these limits.
    static let partBytes = 1 << 20...64 << 20
    static let partsByDefault = 64

    /// The same for the same sources in the same order, cut into the same parts.
    var sourcesHash: UInt64 {
        var hash = StableHash()
        for source in sources {
            hash.update(StableHash.of(source.name))
            hash.update(UInt64(source.byteCount))
            hash.update(UInt64(source.checksum))
            hash.update(source.isLines ? 1 : 0 as UInt8)
        }
        for part in parts {
            hash.update(UInt64(part.count))
            for slice in part { hash.update(UInt64(slice.range.upperBound)) }
        }
        return hash.value
    }
}

/// Makes a plan: lists files by the rules of ``CorpusWalk``, then reads each once.
struct PreparationPlanner {
    private let limits: CorpusLimits
    private var plan = PreparationPlan()
    private var listed: [(path: String, name: String, byteCount: Int)] = []
    /// Sources of one text each with a checksum: for finding what was taken before.
    private var textsByChecksum: [UInt32: [Int]] = [:]
    private var partBytes = 0
    private var openBytes = 0

    /// Longest line of a JSONL file, in bytes.
    static let lineBytesMax = 64 << 20
    private static let chunkBytes = 1 << 20

    /// Reads all that is at `paths`; `tokensPerShard` is how many a part should give, if that is
    /// wanted.
    ///
    /// Throws `missing` where there is no text, `unreadable`, or `unsupported` beyond the limits.
    static func plan(
        _ paths: [String], heldOutFraction: Double, tokensPerShard: Int?,
        limits: CorpusLimits = CorpusLimits(), progress: (_ done: Int, _ total: Int) -> Void
    ) throws(StorageError) -> PreparationPlan {
        var planner = PreparationPlanner(limits: limits)
        for path in paths { try planner.list(path) }
        let total = planner.listed.reduce(0) { $0 + $1.byteCount }
        planner.partBytes =
            tokensPerShard.map { $0 * Preparation.bytesPerToken }
            ?? min(
                max(total / PreparationPlan.partsByDefault, PreparationPlan.partBytes.lowerBound),
                PreparationPlan.partBytes.upperBound)
        var done = 0
        for file in planner.listed {
            try planner.read(file.path, file.name)
            done += file.byteCount
            progress(done, total)
        }
        var plan = planner.plan
        guard !plan.sources.isEmpty else {
            let reason = plan.skipped.first.map { ": \($0.path) is \($0.reason)" } ?? ""
            throw StorageError(.missing, "no text in \(paths.joined(separator: ", "))\(reason)")
        }
        plan.holdsOutWholeDocuments =
            Double(plan.documents) * heldOutFraction >= PreparationPlan.heldOutDocumentsMin
        return plan
    }

    private init(limits: CorpusLimits) { self.limits = limits }

    // MARK: Listing

    private mutating func list(_ path: String) throws(StorageError) {
        if Folder.isFolder(path) { return try listFolder(path, name: "", depth: 0) }
        try take(path, name: path.lastName)
    }

    private mutating func listFolder(
        _ path: String, name: String, depth: Int
    ) throws(StorageError) {
        for child in try Folder.names(in: path) {
            let childPath = path.appending(name: child)
            let childName = name.isEmpty ? child : "\(name)/\(child)"
            if child.hasPrefix(".") {
                plan.skipped.append((childPath, .hidden))
                continue
            }
            do throws(StorageError) {
                switch Folder.kind(of: childPath) {
                case .folder where depth + 1 == limits.depthMax:
                    plan.skipped.append((childPath, .tooDeep))
                case .folder: try listFolder(childPath, name: childName, depth: depth + 1)
                case .file: try take(childPath, name: childName)
                case .link: plan.skipped.append((childPath, .link))
                case .other: plan.skipped.append((childPath, .special))
                case nil: plan.skipped.append((childPath, .unreadable("it went away")))
                }
            } catch let error where error.code == .unreadable || error.code == .missing {
                plan.skipped.append((childPath, .unreadable(error.description)))
            }
        }
    }

    private mutating func take(_ path: String, name: String) throws(StorageError) {
        let size = try File.open(path).byteCount()
        guard size > 0 else { return plan.skipped.append((path, .empty)) }
        guard DocumentLines.isName(name) || size <= limits.fileBytesMax else {
            return plan.skipped.append((path, .tooLarge(bytes: size)))
        }
        guard listed.count < limits.filesMax else {
            throw StorageError(
                .unsupported, "more than \(limits.filesMax) files; give fewer (\(path) is too much)"
            )
        }
        listed.append((path, name, size))
    }

    // MARK: Reading

    private mutating func read(_ path: String, _ name: String) throws(StorageError) {
        if DocumentLines.isName(name) {
            try readLines(path, name)
        } else {
            try readText(path, name)
        }
    }

    private mutating func readText(_ path: String, _ name: String) throws(StorageError) {
        let file = try File.open(path)
        let bytes = try file.read(at: 0, count: try file.byteCount())
        guard !bytes.contains(0), String(validating: bytes, as: UTF8.self) != nil else {
            return plan.skipped.append((path, .binary))
        }
        let checksum = Checksum.of(bytes)
        for index in textsByChecksum[checksum] ?? [] {
            let other = plan.sources[index]
            guard other.byteCount == bytes.count else { continue }
            if try AtomicFile.read(other.path, byteCountMax: limits.fileBytesMax) == bytes {
                return plan.skipped.append((path, .duplicate(of: other.name)))
            }
        }
        textsByChecksum[checksum, default: []].append(plan.sources.count)
        add(
            PreparationPlan.Slice(
                source: plan.sources.count, range: 0..<bytes.count, firstLine: 1))
        plan.documents += 1
        plan.byteCount += bytes.count
        plan.sources.append(
            .init(
                path: path, name: name, byteCount: bytes.count, checksum: checksum, isLines: false))
    }

    /// Finds where lines end: parts begin with a line.
    private mutating func readLines(_ path: String, _ name: String) throws(StorageError) {
        let file = try File.open(path)
        let size = try file.byteCount()
        var checksum = Checksum()
        var slice = PreparationPlan.Slice(source: plan.sources.count, range: 0..<0, firstLine: 1)
        var line = (number: 1, start: 0, isBlank: true)
        for offset in stride(from: 0, to: size, by: Self.chunkBytes) {
            let chunk = try file.read(at: offset, count: min(Self.chunkBytes, size - offset))
            checksum.update(chunk)
            for (index, byte) in chunk.enumerated() {
                if byte > 0x20 { line.isBlank = false }
                guard byte == UInt8(ascii: "\n") else { continue }
                let end = offset + index + 1
                try endLine(&line, at: end, path)
                slice.range = slice.range.lowerBound..<end
                if openBytes + slice.range.count >= partBytes {
                    add(slice)
                    slice = .init(source: slice.source, range: end..<end, firstLine: line.number)
                }
            }
        }
        try endLine(&line, at: size, path)
        slice.range = slice.range.lowerBound..<size
        if !slice.range.isEmpty { add(slice) }
        plan.byteCount += size
        plan.sources.append(
            .init(
                path: path, name: name, byteCount: size, checksum: checksum.value, isLines: true))
    }

    private mutating func endLine(
        _ line: inout (number: Int, start: Int, isBlank: Bool), at end: Int, _ path: String
    ) throws(StorageError) {
        guard end - line.start <= Self.lineBytesMax else {
            throw StorageError(
                .unsupported,
                "line \(line.number) of \(path) has \(end - line.start) bytes, more than the limit"
                    + " of \(Self.lineBytesMax)")
        }
        if !line.isBlank { plan.documents += 1 }
        line = (line.number + 1, end, true)
    }

    /// Puts `slice` into the open part, and closes that when it is full.
    private mutating func add(_ slice: PreparationPlan.Slice) {
        if openBytes == 0 { plan.parts.append([]) }
        plan.parts[plan.parts.count - 1].append(slice)
        openBytes += slice.range.count
        if openBytes >= partBytes { openBytes = 0 }
    }
}
