/// The rotary embedding's settings: `rope_parameters`, or the older `rope_theta` with
/// `rope_scaling`.
extension ConfigurationReader {
    /// The base of the rotation and how it is stretched, where `theta` and `positions` are what
    /// holds if nothing is said.
    mutating func rope(
        theta: Double, positions: Int
    ) throws(ModelConfigurationError) -> (theta: Double, scaling: RopeScaling) {
        let base = try number("rope_theta", default: theta)
        let present = try object("rope_parameters")
        let older = try object("rope_scaling")
        if let older, !older.isEmpty, present != nil {
            throw mistake("rope_scaling", .object(older), "null beside rope_parameters")
        }
        guard let members = present ?? older else { return (base, .none) }
        var part = RopeReader(
            place: present == nil ? "rope_scaling" : "rope_parameters", members: members)
        let ownBase = try part.number("rope_theta") ?? base
        let scaling = try part.scaling(positions: positions)
        try part.requireAllRead()
        return (ownBase, scaling)
    }
}

/// Takes typed values out of the object called `place`, remembering which were asked for.
private struct RopeReader {
    let place: String
    /// Those not asked for yet.
    var members: [String: JSONValue]

    private mutating func value(_ key: String) -> JSONValue? {
        let found = members.removeValue(forKey: key)
        return found == .null ? nil : found
    }

    private func mistake(
        _ key: String, _ found: JSONValue?, _ allowed: String
    ) -> ModelConfigurationError {
        ModelConfigurationError(
            key: "\(place).\(key)", found: found?.description ?? "missing", allowed: allowed)
    }

    mutating func number(_ key: String) throws(ModelConfigurationError) -> Double? {
        switch value(key) {
        case nil: nil
        case .integer(let number)?: Double(number)
        case .number(let number)?: number
        case let other?: throw mistake(key, other, "a number")
        }
    }

    mutating func scaling(positions: Int) throws(ModelConfigurationError) -> RopeScaling {
        let older = value("type")
        let found = value("rope_type")
        if let factor = try number("partial_rotary_factor"), factor != 1 {
            throw mistake("partial_rotary_factor", .number(factor), "1")
        }
        switch found ?? older ?? .string("default") {
        case .string("default"): return .none
        case .string("linear"): return .linear(factor: try factor())
        case .string("yarn"): return .yarn(try yarn(positions: positions))
        case let other:
            throw mistake(
                found == nil ? "type" : "rope_type", other,
                "\"default\" or \"linear\" or \"yarn\"")
        }
    }

    private mutating func factor() throws(ModelConfigurationError) -> Double {
        guard let factor = try number("factor") else { throw mistake("factor", nil, "a number") }
        return factor
    }

    private mutating func yarn(positions: Int) throws(ModelConfigurationError) -> Yarn {
        var yarn = Yarn(factor: try factor(), originalPositions: positions)
        switch value("original_max_position_embeddings") {
        case nil: break
        case .integer(let number)?: yarn.originalPositions = number
        case let other?:
            throw mistake("original_max_position_embeddings", other, "a whole number")
        }
        // 0 counts as nothing said.
        if let beta = try number("beta_fast"), beta != 0 { yarn.betaFast = beta }
        if let beta = try number("beta_slow"), beta != 0 { yarn.betaSlow = beta }
        yarn.attentionFactor = try number("attention_factor")
        yarn.mscale = try number("mscale")
        yarn.mscaleAllDimensions = try number("mscale_all_dim")
        switch value("truncate") {
        case nil: break
        case .bool(let flag)?: yarn.truncates = flag
        case let other?: throw mistake("truncate", other, "true or false")
        }
        return yarn
    }

    func requireAllRead() throws(ModelConfigurationError) {
        guard let (key, found) = members.min(by: { $0.key < $1.key }) else { return }
        throw mistake(key, found, "nothing: this program does not know the key")
    }
}
