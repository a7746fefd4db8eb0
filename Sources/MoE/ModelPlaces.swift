package import Tensors

/// Where each weight lies, looked up by name once, so that a step makes views without searching.
package struct ModelPlaces: Sendable {
    private let embedding: Range<Int>
    private let layers: [LayerPlaces]
    private let finalNorm: Range<Int>
    private let head: Range<Int>
    private let count: Int
    /// Where gradients are added up; in all other places they are written.
    private let sums: [Range<Int>]

    package init(_ configuration: ModelConfiguration) {
        let layout = configuration.layout
        embedding = layout.place(TensorName.embedding)
        layers = (0..<configuration.layers).map { LayerPlaces($0, configuration, layout) }
        finalNorm = layout.place(TensorName.finalNorm)
        head = layout.place(
            configuration.tiesEmbeddings ? TensorName.embedding : TensorName.head)
        count = layout.count
        let written = Set(
            (0..<configuration.layers).flatMap { layer in
                LayerTensorNames(layer: layer, family: configuration.family)
                    .feedForward(experts: configuration.experts)
                    .flatMap { [$0.gate, $0.up, $0.down] }
            })
        sums = layout.tensors.filter { !written.contains($0.name) }.map(\.range)
    }

    /// Clears gradients where they will be added up: everywhere but in the experts.
    func clearSums(in gradients: Buffer<some KernelElement>) {
        precondition(gradients.count == count, "\(gradients.count) gradients for \(count)")
        for range in sums { gradients[range].clear() }
    }

    /// Views of `flat`, which has as many elements as the model has parameters.
    package func weights<Element>(in flat: Buffer<Element>) -> ModelWeights<Element> {
        precondition(flat.count == count, "\(flat.count) numbers for a model of \(count)")
        return ModelWeights(
            embedding_VD: flat[embedding], layers: layers.map { $0.weights(in: flat) },
            finalNorm_D: flat[finalNorm], head_VD: flat[head])
    }
}

private struct LayerPlaces {
    let attentionNorm, expertsNorm: Range<Int>
    let projection: ProjectionPlaces
    let output: LinearPlaces
    let feedForward: FeedForwardPlaces

    init(_ layer: Int, _ configuration: ModelConfiguration, _ layout: ParameterLayout) {
        let name = LayerTensorNames(layer: layer, family: configuration.family)
        attentionNorm = layout.place(name.attentionNorm)
        expertsNorm = layout.place(name.expertsNorm)
        projection =
            configuration.latentAttention == nil
            ? .heads(HeadPlaces(name, layout)) : .latent(LatentPlaces(name, layout))
        output = LinearPlaces(name.output, layout)
        feedForward =
            configuration.denseLayers.contains(layer)
            ? .dense(
                layout.mlpPlaces([name.dense], configuration, hidden: configuration.denseHiddenSize)
            )
            : .experts(ExpertsPlaces(name, configuration, layout))
    }

    func weights<Element>(in flat: Buffer<Element>) -> LayerWeights<Element> {
        LayerWeights(
            attentionNorm_D: flat[attentionNorm],
            attention: AttentionWeights(
                projection: projection.weights(in: flat), output_DHW: output.weights(in: flat)),
            expertsNorm_D: flat[expertsNorm], feedForward: feedForward.weights(in: flat))
    }
}

private struct LinearPlaces {
    let weight: Range<Int>
    let bias: Range<Int>?

    init(_ name: LinearTensorNames, _ layout: ParameterLayout) {
        weight = layout.place(name.weight)
        bias = layout.tensor(named: name.bias)?.range
    }

    func weights<Element>(in flat: Buffer<Element>) -> LinearWeights<Element> {
        LinearWeights(weight: flat[weight], bias: bias.map { flat[$0] })
    }
}

private enum ProjectionPlaces {
    case heads(HeadPlaces)
    case latent(LatentPlaces)

    func weights<Element>(in flat: Buffer<Element>) -> ProjectionWeights<Element> {
        switch self {
        case .heads(let places): .heads(places.weights(in: flat))
        case .latent(let places): .latent(places.weights(in: flat))
        }
    }
}

private struct HeadPlaces {
    let query, key, value: LinearPlaces
    let queryNorm, keyNorm: Range<Int>?

    init(_ name: LayerTensorNames, _ layout: ParameterLayout) {
        query = LinearPlaces(name.query, layout)
        key = LinearPlaces(name.key, layout)
        value = LinearPlaces(name.value, layout)
        queryNorm = layout.tensor(named: name.queryNorm)?.range
        keyNorm = layout.tensor(named: name.keyNorm)?.range
    }

    func weights<Element>(in flat: Buffer<Element>) -> HeadWeights<Element> {
        HeadWeights(
            query_HCD: query.weights(in: flat), key_GCD: key.weights(in: flat),
            value_GCD: value.weights(in: flat), queryNorm: queryNorm.map { flat[$0] },
            keyNorm: keyNorm.map { flat[$0] })
    }
}

private struct LatentPlaces {
    let queryDown: LinearPlaces?
    let queryNorm: Range<Int>?
    let queryUp, keyValueDown, keyValueUp: LinearPlaces
    let keyValueNorm: Range<Int>

    init(_ name: LayerTensorNames, _ layout: ParameterLayout) {
        queryNorm = layout.tensor(named: name.queryLatentNorm)?.range
        queryDown = queryNorm == nil ? nil : LinearPlaces(name.queryDown, layout)
        queryUp = LinearPlaces(queryNorm == nil ? name.query : name.queryUp, layout)
        keyValueDown = LinearPlaces(name.keyValueDown, layout)
        keyValueNorm = layout.place(name.keyValueLatentNorm)
        keyValueUp = LinearPlaces(name.keyValueUp, layout)
    }

    func weights<Element>(in flat: Buffer<Element>) -> LatentWeights<Element> {
        LatentWeights(
            queryDown: queryDown?.weights(in: flat), queryNorm: queryNorm.map { flat[$0] },
            queryUp: queryUp.weights(in: flat), keyValueDown: keyValueDown.weights(in: flat),
            keyValueNorm: flat[keyValueNorm], keyValueUp: keyValueUp.weights(in: flat))
    }
}

private enum FeedForwardPlaces {
    case experts(ExpertsPlaces)
    case dense(ExpertPlaces)

    func weights<Element>(in flat: Buffer<Element>) -> FeedForwardWeights<Element> {
        switch self {
        case .experts(let places): .experts(places.weights(in: flat))
        case .dense(let places): .dense(MLPWeights(all: flat, places: places))
        }
    }
}

/// The router, all experts and the shared expert.
private struct ExpertsPlaces {
    let router: Range<Int>
    /// Of the mask router, right behind the router.
    let mask: Range<Int>?
    let experts: ExpertPlaces
    let shared: ExpertPlaces?
    let sharedGate: Range<Int>?

    init(
        _ name: LayerTensorNames, _ configuration: ModelConfiguration, _ layout: ParameterLayout
    ) {
        let router = layout.place(name.router)
        let mask = layout.tensor(named: name.maskRouter)?.range
        precondition(
            mask.map { $0.lowerBound == router.upperBound } ?? true, "a mask router far away")
        self.router = router
        self.mask = mask
        experts = layout.mlpPlaces(
            (0..<configuration.experts).map(name.expert), configuration,
            hidden: configuration.expertHiddenSize)
        let width = configuration.sharedExpertHiddenSize
        shared =
            width == 0 ? nil : layout.mlpPlaces([name.sharedExpert], configuration, hidden: width)
        sharedGate = layout.tensor(named: name.sharedExpertGate)?.range
    }

    func weights<Element>(in flat: Buffer<Element>) -> ExpertsWeights<Element> {
        ExpertsWeights(
            router_ED: flat[router],
            routerAndMask_2ED: mask.map { flat[router.lowerBound..<$0.upperBound] }, all: flat,
            places: experts,
            shared: shared.map {
                SharedExpertWeights(
                    mlp: MLPWeights(all: flat, places: $0), gate_D: sharedGate.map { flat[$0] })
            })
    }
}

extension ParameterLayout {
    /// The range of a tensor that a model's own layout is bound to have.
    fileprivate func place(_ name: String) -> Range<Int> {
        guard let tensor = tensor(named: name) else { preconditionFailure("no tensor \(name)") }
        return tensor.range
    }

    fileprivate func mlpPlaces(
        _ names: [MLPTensorNames], _ configuration: ModelConfiguration, hidden: Int
    ) -> ExpertPlaces {
        ExpertPlaces(
            width: configuration.hiddenSize, hidden: hidden,
            gate: names.map { place($0.gate).lowerBound },
            up: names.map { place($0.up).lowerBound },
            down: names.map { place($0.down).lowerBound })
    }
}
