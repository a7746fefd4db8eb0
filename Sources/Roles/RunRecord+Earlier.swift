package import FoundationEssentials
package import LocalSGD

/// How records are read that earlier builds wrote.
///
/// A field that a build did not know yet stands for what that build did: its default, but for the
/// few that ``earliest`` names. What every build has written must be there.
extension RunRecord {
    /// The settings of a build that knew none of the later fields: rounds of a fixed length, no
    /// penalty.
    package static var earliest: RunSettings {
        var settings = RunSettings()
        settings.mode = .edit
        settings.penalty.detectsAnomalies = false
        settings.penalty.learnsClip = false
        return settings
    }

    /// What later builds have added, as an earlier one would have written it.
    private struct Additions: Encodable {
        struct History: Encodable { var position = 0.0 }

        var settings = RunRecord.earliest
        var history = History()
        var modules: [ModuleRecord] = []
    }

    /// The record in `json`; throws a `DecodingError` for what is not one.
    package init(json: Data) throws {
        let decoder = JSONDecoder()
        let written = try decoder.decode(Tree.self, from: json)
        let added = try decoder.decode(Tree.self, from: JSONEncoder().encode(Additions()))
        self = try decoder.decode(
            RunRecord.self, from: JSONEncoder().encode(added.overlaid(by: written)))
        if written["history"]?["position"] == nil {
            history.position = Double(settings.step(atRound: Int(clamping: version)))
        }
    }
}

/// JSON as it comes, whole numbers of 64 bits included.
private indirect enum Tree: Codable {
    case null
    case bool(Bool)
    case whole(UInt64)
    case signed(Int64)
    case number(Double)
    case text(String)
    case list([Tree])
    case group([String: Tree])

    init(from decoder: any Decoder) throws {
        let value = try decoder.singleValueContainer()
        if value.decodeNil() {
            self = .null
        } else if let found = try? value.decode([String: Tree].self) {
            self = .group(found)
        } else if let found = try? value.decode([Tree].self) {
            self = .list(found)
        } else if let found = try? value.decode(Bool.self) {
            self = .bool(found)
        } else if let found = try? value.decode(UInt64.self) {
            self = .whole(found)
        } else if let found = try? value.decode(Int64.self) {
            self = .signed(found)
        } else if let found = try? value.decode(Double.self) {
            self = .number(found)
        } else {
            self = .text(try value.decode(String.self))
        }
    }

    func encode(to encoder: any Encoder) throws {
        var value = encoder.singleValueContainer()
        switch self {
        case .null: try value.encodeNil()
        case .bool(let held): try value.encode(held)
        case .whole(let held): try value.encode(held)
        case .signed(let held): try value.encode(held)
        case .number(let held): try value.encode(held)
        case .text(let held): try value.encode(held)
        case .list(let held): try value.encode(held)
        case .group(let held): try value.encode(held)
        }
    }

    subscript(name: String) -> Tree? {
        if case .group(let members) = self { members[name] } else { nil }
    }

    /// What `upper` says, and what is said here where it is silent.
    func overlaid(by upper: Tree) -> Tree {
        guard case .group(let below) = self, case .group(let above) = upper else { return upper }
        return .group(below.merging(above) { $0.overlaid(by: $1) })
    }
}
