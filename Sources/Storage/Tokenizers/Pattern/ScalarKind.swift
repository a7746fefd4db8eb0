/// What a pattern may ask of a scalar: its general category, and whether it is white space.
///
/// Looked up in a table of two levels, made once: the standard library's own properties take
/// longer than the rest of a match.
///
/// The table is Unicode 16's, which is what the `tokenizers` library splits by; a later standard
/// library knows more scalars, and they count as unassigned here.
struct ScalarKind: Equatable {
    /// Bits 0 to 4 are the ``Category``; bit 5 is white space.
    let rawValue: UInt8

    /// General categories, and one more.
    enum Category: UInt8, CaseIterable {
        case lu, ll, lt, lm, lo, mn, mc, me, nd, nl, no, pc, pd, ps, pe, pi, pf, po, sm, sc, sk, so
        case zs, zl, zp, cc, cf, cs, co, cn
        /// A number to Unicode 17 and unassigned to Unicode 16.
        case laterNumber
    }

    static let whitespaceBit: UInt8 = 0x20

    init(_ category: Category, isWhitespace: Bool = false) {
        rawValue = category.rawValue | (isWhitespace ? Self.whitespaceBit : 0)
    }

    /// The kind of `scalar` by the standard library's properties: slow.
    init(of scalar: Unicode.Scalar) {
        let properties = scalar.properties
        let category = Self.category(properties.generalCategory)
        let age = properties.age.map { ($0.major, $0.minor) } ?? (0, 0)
        if age > Self.unicodeVersion {
            self.init(Self.numbers.contains(category) ? .laterNumber : .cn)
        } else if scalar == Self.movedLetter {
            self.init(.ll)
        } else {
            self.init(category, isWhitespace: properties.isWhitespace)
        }
    }

    /// The version of Unicode that patterns go by.
    static let unicodeVersion = (16, 0)
    /// LATIN LETTER PHARYNGEAL VOICED FRICATIVE: a small letter until Unicode 16.
    private static let movedLetter: Unicode.Scalar = "\u{295}"
    static let letters: [Category] = [.lu, .ll, .lt, .lm, .lo]
    static let marks: [Category] = [.mn, .mc, .me]
    static let numbers: [Category] = [.nd, .nl, .no]
    static let punctuation: [Category] = [.pc, .pd, .ps, .pe, .pi, .pf, .po]
    static let symbols: [Category] = [.sm, .sc, .sk, .so]
    static let separators: [Category] = [.zs, .zl, .zp]
    static let others: [Category] = [.cc, .cf, .cs, .co, .cn, .laterNumber]

    private static func category(_ category: Unicode.GeneralCategory) -> Category {
        switch category {
        case .uppercaseLetter: .lu
        case .lowercaseLetter: .ll
        case .titlecaseLetter: .lt
        case .modifierLetter: .lm
        case .otherLetter: .lo
        case .nonspacingMark: .mn
        case .spacingMark: .mc
        case .enclosingMark: .me
        case .decimalNumber: .nd
        case .letterNumber: .nl
        case .otherNumber: .no
        case .connectorPunctuation: .pc
        case .dashPunctuation: .pd
        case .openPunctuation: .ps
        case .closePunctuation: .pe
        case .initialPunctuation: .pi
        case .finalPunctuation: .pf
        case .otherPunctuation: .po
        case .mathSymbol: .sm
        case .currencySymbol: .sc
        case .modifierSymbol: .sk
        case .otherSymbol: .so
        case .spaceSeparator: .zs
        case .lineSeparator: .zl
        case .paragraphSeparator: .zp
        case .control: .cc
        case .format: .cf
        case .surrogate: .cs
        case .privateUse: .co
        case .unassigned: .cn
        @unknown default: .cn
        }
    }
}

/// The kinds of all scalars: pages of 256, equal ones kept once.
struct ScalarKindTable: Sendable {
    static let shared = ScalarKindTable()

    /// For each 256 scalars, where their page starts in `kinds`.
    private let pages: [Int32]
    private let kinds: [UInt8]

    private init() {
        var pages: [Int32] = []
        var kinds: [UInt8] = []
        var starts: [[UInt8]: Int32] = [:]
        // Planes 4 to 13 have nothing assigned: their pages are those of the first.
        for page in UInt32(0)..<0x1100 {
            let plane = page >> 8
            let source = (4...13).contains(plane) ? 0x400 : page
            if source != page, let start = pages.dropFirst(Int(source)).first {
                pages.append(start)
                continue
            }
            let values = (UInt32(0)..<256).map { low -> UInt8 in
                guard let scalar = Unicode.Scalar(page << 8 | low) else {
                    return ScalarKind(.cs).rawValue
                }
                return ScalarKind(of: scalar).rawValue
            }
            let start = starts[values] ?? Int32(kinds.count)
            if starts.updateValue(start, forKey: values) == nil { kinds.append(contentsOf: values) }
            pages.append(start)
        }
        self.pages = pages
        self.kinds = kinds
    }

    /// The kind of the scalar of this value, which must be below 0x110000.
    @inline(__always)
    func rawKind(of value: UInt32) -> UInt8 {
        kinds[Int(pages[Int(value >> 8)]) + Int(value & 0xff)]
    }
}
