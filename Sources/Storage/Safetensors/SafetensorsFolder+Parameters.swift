package import Tensors

/// Tensors of published folders that have no place of their own in a model.
private enum Surplus {
    /// Ends the names of tensors that follow from the configuration: the frequencies of rotary
    /// positions, which old versions of `transformers` saved and newer ones drop.
    static let derivedSuffixes = [".rotary_emb.inv_freq"]
    /// Tensors that a model with tied weights has once, and some writers save twice.
    static let copies = ["lm_head.weight": "model.embed_tokens.weight"]
    /// Names that a message lists.
    static let listedMax = 5
}

/// Tensors that a model has if a key of config.json is true, by the end of their names.
private struct OptionalTensors {
    let suffix: String
    let key: String

    static let all = [OptionalTensors(suffix: ".mask_router.weight", key: "expert_masks")]

    static func of(_ name: String) -> OptionalTensors? {
        all.first { name.hasSuffix($0.suffix) }
    }
}

extension SafetensorsFolder {
    /// Reads all parameters of a model laid out as `layout` into `parameters` [layout.count],
    /// whatever files and floating point types they are stored in.
    ///
    /// Throws `mismatch` where the model is another one: a tensor that is missing, of another shape
    /// or type, or without a place in the layout; `corrupt` for a number that is not finite;
    /// `unreadable`. Every message names file and tensor.
    package func loadParameters(
        layout: ParameterLayout, into parameters: FloatBuffer
    ) throws(StorageError) {
        precondition(parameters.count == layout.count, "the model has \(layout.count) parameters")
        try check(layout)
        for tensor in layout.tensors {
            let values = parameters[tensor.range]
            try load(tensor, into: values)
            try checkCopies(of: tensor, values, in: layout)
        }
    }

    /// Reads `tensor` of a layout into `values` [its count].
    ///
    /// Throws as ``loadParameters(layout:into:)``, but looks at no other tensor.
    func load(
        _ tensor: ParameterLayout.Tensor, into values: FloatBuffer
    ) throws(StorageError) {
        try holder(of: tensor).load(tensor, named: tensor.name, into: values)
    }

    private func holder(
        of tensor: ParameterLayout.Tensor
    ) throws(StorageError) -> SafetensorsFile {
        do throws(StorageError) {
            return try file(holding: tensor.name)
        } catch let error where error.code == .missing {
            let key = OptionalTensors.of(tensor.name)?.key
            let reason = key.map { "\"\($0)\": true in config.json wants it" }
            throw StorageError(
                .mismatch,
                "\(error.message), of shape \(tensor.shape); \(reason ?? "it is of another model")")
        }
    }

    /// Finds what does not fit the layout before any number is read.
    ///
    /// Throws `mismatch` as ``loadParameters(layout:into:)`` does.
    func check(_ layout: ParameterLayout) throws(StorageError) {
        for tensor in layout.tensors {
            try holder(of: tensor).check(tensor, named: tensor.name)
        }
        let surplus = tensorNames.filter { name in
            layout.tensor(named: name) == nil
                && !Surplus.derivedSuffixes.contains { name.hasSuffix($0) }
                && !isCopy(name, in: layout)
        }
        guard !surplus.isEmpty else { return }
        try checkOptions(surplus, layout)
        let listed = surplus.prefix(Surplus.listedMax).map(\.quoted).joined(separator: ", ")
        let more = surplus.count > Surplus.listedMax ? ", …" : ""
        throw StorageError(
            .mismatch,
            "\(path) is of another model: \(surplus.count) of its tensors have no place in this"
                + " one: \(listed)\(more); check the configuration")
    }

    private func isCopy(_ name: String, in layout: ParameterLayout) -> Bool {
        Surplus.copies[name].map { layout.tensor(named: $0) != nil } ?? false
    }

    /// Refuses tensors of a kind that the model has none of, for want of a key in config.json.
    private func checkOptions(
        _ surplus: [String], _ layout: ParameterLayout
    ) throws(StorageError) {
        for name in surplus {
            guard let option = OptionalTensors.of(name),
                !layout.tensors.contains(where: { $0.name.hasSuffix(option.suffix) })
            else { continue }
            throw StorageError(
                .mismatch,
                "\(path) has tensor \(name.quoted), and its config.json does not say"
                    + " \"\(option.key)\": true; set that key, or leave out the tensors *"
                    + option.suffix)
        }
    }

    /// Refuses a second copy of `tensor` that is not its `values`: then the model is not tied,
    /// whatever its configuration says.
    ///
    /// Throws `mismatch`, or `unreadable`.
    func checkCopies(
        of tensor: ParameterLayout.Tensor, _ values: FloatBuffer, in layout: ParameterLayout
    ) throws(StorageError) {
        for (name, original) in Surplus.copies.sorted(by: { $0.key < $1.key })
        where original == tensor.name && layout.tensor(named: name) == nil {
            guard let copy = try? file(holding: name) else { continue }
            // The count first: what is read is never larger than the model.
            guard try copy.tensor(named: name).count == values.count,
                try copy.floats(name).hasBits(of: values)
            else {
                throw StorageError(
                    .mismatch,
                    "tensor \(name.quoted) in \(copy.path) is not equal to \(original.quoted), to"
                        + " which the configuration ties it")
            }
        }
    }
}

extension SafetensorsFile {
    /// Reads what is called `name` here as `tensor` of a layout into `values` [its count].
    ///
    /// Throws `mismatch` for another shape or type, `corrupt` for a number that is not finite,
    /// `unreadable`.
    func load(
        _ tensor: ParameterLayout.Tensor, named name: String, into values: FloatBuffer
    ) throws(StorageError) {
        try check(tensor, named: name)
        try readFinite(name, into: values)
    }

    /// Refuses what is called `name` here if it can't be `tensor` of a layout.
    func check(_ tensor: ParameterLayout.Tensor, named name: String) throws(StorageError) {
        guard let found = header.tensor(named: name) else {
            throw StorageError(
                .mismatch, "\(path) has no tensor \(name.quoted); it is of another model")
        }
        guard found.shape == tensor.shape else {
            throw StorageError(
                .mismatch,
                "tensor \(name.quoted) in \(path) has shape \(found.shape), and this model has"
                    + " \(tensor.shape); it is of another model")
        }
        guard found.type.isReadAsFloats else {
            throw StorageError(
                .mismatch,
                "tensor \(name.quoted) in \(path) is \(found.type.rawValue), and F32, F16 or BF16"
                    + " is wanted")
        }
    }
}

extension FloatBuffer {
    /// Whether all elements are those of `other`, bit for bit.
    fileprivate func hasBits(of other: FloatBuffer) -> Bool {
        count == other.count
            && (0..<count).allSatisfy { self[$0].bitPattern == other[$0].bitPattern }
    }
}
