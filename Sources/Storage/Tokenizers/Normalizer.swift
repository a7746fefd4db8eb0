@_spi(_Unicode) internal import Swift

/// One thing that is done to a text before it is split.
enum NormalizerStep: Sendable, Equatable {
    /// Canonical composition (Unicode Standard Annex 15).
    case nfc
    /// Puts text in front of what is not empty.
    case prepend([UInt8])
    /// Replaces every occurrence.
    case replace([UInt8], by: [UInt8])

    /// Normalizes `text`, which holds UTF-8.
    func apply(to text: inout [UInt8]) {
        switch self {
        case .nfc:
            if !Composition.isComposed(text) { text = Composition.composed(text) }
        case .prepend(let bytes):
            if !text.isEmpty { text.insert(contentsOf: bytes, at: 0) }
        case .replace(let pattern, let content):
            text = text.replacing(pattern, by: content)
        }
    }
}

extension [UInt8] {
    /// The bytes with `content` for every occurrence of `pattern`, from left to right.
    func replacing(_ pattern: [UInt8], by content: [UInt8]) -> [UInt8] {
        guard let first = pattern.first, contains(first) else { return self }
        var result: [UInt8] = []
        result.reserveCapacity(count + count / 4)
        var position = 0
        while position < count {
            if self[position] == first, self[position...].starts(with: pattern) {
                result.append(contentsOf: content)
                position += pattern.count
            } else {
                result.append(self[position])
                position += 1
            }
        }
        return result
    }
}

/// A quick way to see that a text is composed already, as most is.
enum Composition {
    /// Scalars that neither change nor combine with the one before, whatever surrounds them.
    static let inertRanges: [ClosedRange<UInt32>] = [
        0x0...0x2ff, 0x400...0x482, 0x48a...0x58a, 0x5d0...0x5ea, 0x61b...0x64a, 0xe01...0xe37,
        0xe3f...0xe47, 0x10a0...0x10ff, 0x1d00...0x1dbf, 0x1e00...0x1e99, 0x2010...0x205e,
        0x20a0...0x20c0, 0x2190...0x2328, 0x2460...0x2adb, 0x3001...0x3029, 0x3041...0x3096,
        0x309b...0x312f, 0x3400...0x4dbf, 0x4e00...0x9fff, 0xac00...0xd7a3, 0xff01...0xffee,
        0x1f300...0x1faff,
    ]

    private static let inertPages: [Bool] = {
        // Pages of 16 scalars, all of one plane and the first of the next; a page is inert as a
        // whole or not at all.
        (UInt32(0)..<0x2000).map { page in
            inertRanges.contains {
                $0.lowerBound <= page << 4 && $0.upperBound >= page << 4 | 15
            }
        }
    }()

    /// The version of Unicode that the `tokenizers` library composes by: to it, later scalars are
    /// unassigned, so that they neither change, move nor combine.
    static let unicodeVersion = (9, 0)

    /// `text`, composed.
    static func composed(_ text: [UInt8]) -> [UInt8] {
        var composed: [UInt8] = []
        composed.reserveCapacity(text.count)
        var known = String.UnicodeScalarView()
        func flush() {
            // The standard library composes, and for now only says so to those who ask for it by
            // this name.
            for scalar in String(known)._nfc { composed.append(contentsOf: String(scalar).utf8) }
            known.removeAll(keepingCapacity: true)
        }
        for scalar in String(decoding: text, as: UTF8.self).unicodeScalars {
            if isLater(scalar) {
                flush()
                composed.append(contentsOf: String(scalar).utf8)
            } else {
                known.append(scalar)
            }
        }
        flush()
        return composed
    }

    private static func isLater(_ scalar: Unicode.Scalar) -> Bool {
        if scalar.value < 0x20000, inertPages[Int(scalar.value >> 4)] { return false }
        return scalar.properties.age.map { ($0.major, $0.minor) > unicodeVersion } ?? false
    }

    /// Whether `text` is composed for certain.
    static func isComposed(_ text: [UInt8]) -> Bool {
        var position = 0
        while position < text.count {
            let byte = text[position]
            if byte < 0xcc {
                position += 1
                continue
            }
            let value: UInt32
            switch byte {
            case ..<0xe0 where position + 1 < text.count:
                value = UInt32(byte & 0x1f) << 6 | UInt32(text[position + 1] & 0x3f)
                position += 2
            case ..<0xf0 where position + 2 < text.count:
                value =
                    UInt32(byte & 0x0f) << 12 | UInt32(text[position + 1] & 0x3f) << 6
                    | UInt32(text[position + 2] & 0x3f)
                position += 3
            case 0xf0 where position + 3 < text.count:
                value =
                    UInt32(text[position + 1] & 0x3f) << 12
                    | UInt32(text[position + 2] & 0x3f) << 6 | UInt32(text[position + 3] & 0x3f)
                position += 4
            default: return false
            }
            guard value < 0x20000, inertPages[Int(value >> 4)] else { return false }
        }
        return true
    }
}
