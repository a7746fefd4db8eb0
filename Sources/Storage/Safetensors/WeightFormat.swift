/// How the weights of a model are stored.
package struct WeightFormat: Sendable, Equatable {
    /// Bytes of numbers in one file unless told otherwise: the limit of `transformers`.
    package static let shardBytesMax = 50_000_000_000

    /// F32, BF16 or F16.
    package let type: ScalarType
    /// Bytes of numbers beyond which a file is followed by another; one tensor alone may have more.
    package let shardBytesMax: Int

    package init(type: ScalarType = .float32, shardBytesMax: Int = shardBytesMax) {
        precondition(type.isReadAsFloats, "weights are not stored as \(type.rawValue)")
        precondition(shardBytesMax > 0, "a file has room for something")
        self.type = type
        self.shardBytesMax = shardBytesMax
    }

    /// How many of `tensors` go into each file: as many as fit, in their order.
    func shards(of tensors: [(name: String, shape: [Int])]) -> [Range<Int>] {
        var shards: [Range<Int>] = []
        var start = 0
        var byteCount = 0
        for (index, tensor) in tensors.enumerated() {
            let size = tensor.shape.reduce(type.byteCount, *)
            if index > start, byteCount + size > shardBytesMax {
                shards.append(start..<index)
                start = index
                byteCount = 0
            }
            byteCount += size
        }
        return shards + [start..<tensors.count]
    }
}
