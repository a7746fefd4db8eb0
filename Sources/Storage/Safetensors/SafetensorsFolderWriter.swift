package import Tensors

/// Writes the weights of a Hugging Face folder as their numbers arrive: one `model.safetensors`, or
/// files called `model-00001-of-00003.safetensors` and an index where they are too many for one.
///
/// The same numbers give the same bytes. It writes into a folder of its caller, who sees to it that
/// nobody takes half of it for the whole.
package struct SafetensorsFolderWriter: ~Copyable, Sendable {
    /// A file that was written, and is durable.
    package struct WrittenFile: Sendable, Equatable {
        package let name: String
        package let byteCount: Int
        package let checksum: UInt32
    }

    private let path: String
    private let tensors: [(name: String, shape: [Int])]
    private let format: WeightFormat
    private let shards: [Range<Int>]
    /// Numbers in each file.
    private let counts: [Int]
    private var written: [WrittenFile] = []
    /// The file being written, and how many numbers it still waits for.
    private var writer: SafetensorsWriter?
    private var left = 0

    /// Begins the weights in the folder at `path`, for `tensors` in this order.
    ///
    /// Throws `unwritable`, also where there is one of the files.
    package init(
        path: String, tensors: [(name: String, shape: [Int])], format: WeightFormat = .init()
    ) throws(StorageError) {
        self.path = path
        self.tensors = tensors
        self.format = format
        shards = format.shards(of: tensors)
        counts = shards.map { shard in
            tensors[shard].reduce(0) { $0 + $1.shape.reduce(1, *) }
        }
        try beginFile()
    }

    private func name(_ shard: Int) -> String {
        guard shards.count > 1 else { return SafetensorsFolder.singleName }
        func digits(_ number: Int) -> String {
            let text = String(number)
            return String(repeating: "0", count: max(0, 5 - text.count)) + text
        }
        return "model-\(digits(shard + 1))-of-\(digits(shards.count)).safetensors"
    }

    /// Begins the file that follows those written.
    private mutating func beginFile() throws(StorageError) {
        let shard = written.count
        let header = SafetensorsHeader(
            tensors: tensors[shards[shard]].map { ($0.name, format.type, $0.shape) })
        writer = try SafetensorsWriter(path: path.appending(name: name(shard)), header: header)
        left = counts[shard]
    }

    /// Writes `floats` as the next numbers; they may be a part of a tensor, or several tensors.
    ///
    /// Throws `unwritable`, or `mismatch` for a number that is not finite in the 16-bit type it is
    /// rounded to.
    package mutating func append(_ floats: FloatBuffer) throws(StorageError) {
        var start = 0
        while start < floats.count {
            if left == 0 {
                try finishFile()
                try beginFile()
            }
            let count = min(left, floats.count - start)
            try writer?.append(rounding: floats[start..<start + count])
            left -= count
            start += count
        }
    }

    private mutating func finishFile() throws(StorageError) {
        guard let file = writer.take() else { return }
        let name = name(written.count)
        let (byteCount, checksum) = try file.finish()
        written.append(WrittenFile(name: name, byteCount: byteCount, checksum: checksum.value))
    }

    /// Completes the weights, of which all numbers must be there, and makes their files durable.
    ///
    /// Returns all files in the folder that belong to them. Throws `unwritable`.
    package consuming func finish() throws(StorageError) -> [WrittenFile] {
        try finishFile()
        // Tensors without elements may be all that is left.
        while written.count < shards.count {
            try beginFile()
            try finishFile()
        }
        guard shards.count > 1 else { return written }
        let bytes = index.encoded(indented: true)
        let file = try File.create(path.appending(name: SafetensorsFolder.indexName))
        try file.write(bytes)
        try file.synchronize()
        return written + [
            WrittenFile(
                name: SafetensorsFolder.indexName, byteCount: bytes.count,
                checksum: Checksum.of(bytes))
        ]
    }

    /// The index as `transformers` writes it.
    private var index: JSON {
        var places: [JSON.Member] = []
        for (shard, range) in shards.enumerated() {
            places += tensors[range].map { JSON.Member(name: $0.name, value: .string(name(shard))) }
        }
        places.sort { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
        let count = counts.reduce(0, +)
        return [
            "metadata": [
                "total_parameters": .integer(count),
                "total_size": .integer(count * format.type.byteCount),
            ],
            "weight_map": .object(places),
        ]
    }
}
