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
    /// Rotated keys [B,capacity,G,C] and values [B,capacity,G,W] of each layer.
    private let keys: [Buffer<Element>]
    private let values: [Buffer<Element>]
    /// Elements of one token's keys, G * C, and values, G * W.
    private let keyWidth: Int
    private let valueWidth: Int

    init(_ configuration: ModelConfiguration, batch: Int, capacity: Int) {
        self.capacity = capacity
        keyWidth = configuration.keyValueHeads * configuration.headWidth
        valueWidth = configuration.keyValueHeads * configuration.valueWidth
        lengths = Array(repeating: 0, count: batch)
        var plan = ActivationPlan()
        let (keyCount, valueCount) = (batch * capacity * keyWidth, batch * capacity * valueWidth)
        keys = (0..<configuration.layers).map { _ in plan.buffer(keyCount) }
        values = (0..<configuration.layers).map { _ in plan.buffer(valueCount) }
        bytes = plan.bytes
    }

    /// All keys [B,capacity,G,C] and values [B,capacity,G,W] of `layer`.
    func contents(layer: Int) -> (keys: Buffer<Element>, values: Buffer<Element>) {
        (keys[layer], values[layer])
    }

    /// Puts new keys [B,T,G,C] and values [B,T,G,W] of `layer` behind those held;
    /// ``advance(by:)`` counts them once every layer has its own.
    func append(layer: Int, tokens T: Int, k_MGC: Buffer<Element>, v_MGW: Buffer<Element>) {
        for (sequence, length) in lengths.enumerated() {
            precondition(
                length + T <= capacity, "\(length) + \(T) tokens in a cache of \(capacity)")
            let start = sequence * capacity + length
            for (cached, new, width) in [
                (keys[layer], k_MGC, keyWidth), (values[layer], v_MGW, valueWidth),
            ] {
                cached[start * width..<(start + T) * width].copy(
                    from: new[sequence * T * width..<(sequence + 1) * T * width])
            }
        }
    }

    mutating func advance(by tokens: Int) {
        for sequence in lengths.indices { lengths[sequence] += tokens }
    }

    mutating func reset() {
        for sequence in lengths.indices { lengths[sequence] = 0 }
    }
}
