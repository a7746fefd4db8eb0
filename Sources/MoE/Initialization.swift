package import Tensors

/// Fresh weights, the same bits on every machine: each number is a function of the seed, its
/// tensor's name and its index alone, made of integer arithmetic and one multiplication.
///
/// So a coordinator can make one module at a time, in any order.
extension ModelConfiguration {
    /// Fills `buffer` with fresh weights of module `module` of `layout`: norms are 1, biases and
    /// mask routers 0, all else is normal with mean 0 and standard deviation ``initializerRange``.
    package func initialize(
        module: Int, in buffer: FloatBuffer, layout: ParameterLayout, seed: UInt64
    ) {
        let place = layout.modules[module].range
        precondition(
            buffer.count == place.count, "\(buffer.count) elements for a module of \(place.count)")
        for tensor in layout.tensors where tensor.module == module {
            let start = tensor.range.lowerBound - place.lowerBound
            let part = buffer[start..<start + tensor.range.count]
            if tensor.name.hasSuffix(ParameterName.biasSuffix)
                || tensor.name.hasSuffix(ParameterName.maskRouterSuffix)
            {
                part.fill(0)
            } else if tensor.shape.count == 1 {
                part.fill(1)
            } else {
                let generator = CounterGenerator(seed: seed, stream: tensor.name)
                fill(part, from: generator)
            }
        }
    }

    /// Fresh weights of the whole model, all modules as ``initialize(module:in:layout:seed:)``
    /// makes each.
    package func initialParameters(seed: UInt64) -> FloatBuffer {
        let layout = layout
        let parameters = FloatBuffer(count: layout.count)
        for (index, module) in layout.modules.enumerated() {
            initialize(module: index, in: parameters[module.range], layout: layout, seed: seed)
        }
        return parameters
    }

    private func fill(_ part: FloatBuffer, from generator: CounterGenerator) {
        for index in 0..<part.count {
            part[index] = Float(initializerRange * generator.normal(at: UInt64(index)))
        }
    }
}

/// Random numbers by index: no state, so any of them can be had without those before it.
struct CounterGenerator {
    private let key: UInt64

    /// A stream of numbers for each pair of seed and name.
    init(seed: UInt64, stream: String) {
        // FNV-1a over the name's bytes.
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in stream.utf8 { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }
        key = CounterGenerator.mix(CounterGenerator.mix(seed) ^ hash)
    }

    /// 64 random bits.
    ///
    /// A counter behind a mixing function: SplitMix64 (Steele et al. 2014).
    func bits(at index: UInt64) -> UInt64 {
        CounterGenerator.mix(key &+ index &* 0x9e37_79b9_7f4a_7c15)
    }

    /// A number with mean 0, variance 1 and nearly normal: the sum of twelve uniform 16-bit
    /// numbers, about its mean, in units of 2^-16.
    ///
    /// It never leaves ±6, and is exact in fp64, where a logarithm or a cosine would differ from
    /// one mathematics library to the next.
    func normal(at index: UInt64) -> Double {
        var sum = 0
        for word in 0..<3 {
            let bits = bits(at: index &* 3 &+ UInt64(word))
            sum += Int(bits & 0xffff) + Int(bits >> 16 & 0xffff)
            sum += Int(bits >> 32 & 0xffff) + Int(bits >> 48)
        }
        return Double(sum - 12 * 0xffff / 2) / 65_536
    }

    private static func mix(_ value: UInt64) -> UInt64 {
        var z = value
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
