internal import MoE
internal import Tensors

/// Keys and values of the tokens that B sequences have seen, for every layer, so that a new token
/// costs one row and not the whole past.
struct KVCache<Element: KernelElement> {
    /// Tokens each sequence can hold.
    let capacity: Int
    /// Tokens each sequence holds, [B].
    private(set) var lengths: [Int]
    /// Bytes of all keys and values.
    let bytes: Int
    /// Rotated keys, and values, of each layer, [B,capacity,G,C].
    private let keys: [Buffer<Element>]
    private let values: [Buffer<Element>]
    /// Elements of one token's keys, G * C.
    private let width: Int

    init(_ configuration: ModelConfiguration, batch: Int, capacity: Int) {
        self.capacity = capacity
        width = configuration.keyValueHeads * configuration.headWidth
        lengths = Array(repeating: 0, count: batch)
        var plan = ActivationPlan()
        let count = batch * capacity * width
        keys = (0..<configuration.layers).map { _ in plan.buffer(count) }
        values = (0..<configuration.layers).map { _ in plan.buffer(count) }
        bytes = plan.bytes
    }

    /// All keys and values of `layer`, [B,capacity,G,C] each.
    func contents(layer: Int) -> (keys: Buffer<Element>, values: Buffer<Element>) {
        (keys[layer], values[layer])
    }

    /// Puts new keys and values [B,T,G,C] of `layer` behind those held; ``advance(by:)`` counts
    /// them once every layer has its own.
    func append(layer: Int, tokens T: Int, k_MGC: Buffer<Element>, v_MGC: Buffer<Element>) {
        for (sequence, length) in lengths.enumerated() {
            precondition(
                length + T <= capacity, "\(length) + \(T) tokens in a cache of \(capacity)")
            let start = (sequence * capacity + length) * width
            let place = start..<start + T * width
            let new = sequence * T * width..<(sequence + 1) * T * width
            keys[layer][place].copy(from: k_MGC[new])
            values[layer][place].copy(from: v_MGC[new])
        }
    }

    mutating func advance(by tokens: Int) {
        for sequence in lengths.indices { lengths[sequence] += tokens }
    }

    mutating func reset() {
        for sequence in lengths.indices { lengths[sequence] = 0 }
    }
}
