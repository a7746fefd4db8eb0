package import Tensors

/// Views of one flat vector by the model's layout.
///
/// The vector may hold parameters or gradients.
///
/// Legend of shapes, here and in all of `MoE`: B batch, T tokens, M = B * T rows, D model width, V
/// vocabulary, H query heads, G key/value heads, C head width, E experts, K top-k, F expert hidden
/// width, S shared expert's hidden width, R rows dispatched to experts.
package struct ModelWeights<Element: KernelElement> {
    package let embedding_VD: Buffer<Element>
    package let layers: [LayerWeights<Element>]
    package let finalNorm_D: Buffer<Element>
    /// The embedding itself when the two are tied, so that their gradients add up.
    package let head_VD: Buffer<Element>
}

/// One layer's part of ``ModelWeights``.
package struct LayerWeights<Element: KernelElement> {
    package let attentionNorm_D: Buffer<Element>
    package let attention: AttentionWeights<Element>
    package let expertsNorm_D: Buffer<Element>
    package let experts: ExpertsWeights<Element>
}

package struct AttentionWeights<Element: KernelElement> {
    package let query_HCD: Buffer<Element>
    package let key_GCD: Buffer<Element>
    package let value_GCD: Buffer<Element>
    /// Absent without QK-norm.
    package let queryNorm_C: Buffer<Element>?
    package let keyNorm_C: Buffer<Element>?
    package let output_DHC: Buffer<Element>
}

package struct ExpertsWeights<Element: KernelElement> {
    package let router_ED: Buffer<Element>
    /// The whole flat vector, and where in it the experts are.
    package let all: Buffer<Element>
    package let places: ExpertPlaces
    package let shared: SharedExpertWeights<Element>?
}

package struct SharedExpertWeights<Element: KernelElement> {
    package let places: ExpertPlaces
    package let gate_D: Buffer<Element>
}

/// Where each weight lies, looked up by name once, so that a step makes views without searching.
package struct ModelPlaces: Sendable {
    private let embedding: Range<Int>
    private let layers: [LayerPlaces]
    private let finalNorm: Range<Int>
    private let head: Range<Int>
    private let count: Int

    package init(_ configuration: ModelConfiguration) {
        let layout = configuration.layout
        embedding = layout.place(TensorName.embedding)
        layers = (0..<configuration.layers).map { LayerPlaces($0, configuration, layout) }
        finalNorm = layout.place(TensorName.finalNorm)
        head = layout.place(
            configuration.tiesEmbeddings ? TensorName.embedding : TensorName.head)
        count = layout.count
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
    let attentionNorm, query, key, value, output, expertsNorm, router: Range<Int>
    let queryNorm, keyNorm, sharedGate: Range<Int>?
    let experts: ExpertPlaces
    let shared: ExpertPlaces?

    init(_ layer: Int, _ configuration: ModelConfiguration, _ layout: ParameterLayout) {
        let name = LayerTensorNames(layer: layer)
        attentionNorm = layout.place(name.attentionNorm)
        query = layout.place(name.query)
        key = layout.place(name.key)
        value = layout.place(name.value)
        output = layout.place(name.output)
        expertsNorm = layout.place(name.expertsNorm)
        router = layout.place(name.router)
        queryNorm = layout.tensor(named: name.queryNorm)?.range
        keyNorm = layout.tensor(named: name.keyNorm)?.range
        sharedGate = layout.tensor(named: name.sharedExpertGate)?.range
        let width = configuration.hiddenSize
        experts = layout.expertPlaces(
            (0..<configuration.experts).map(name.expert), width: width,
            hidden: configuration.expertHiddenSize)
        shared =
            sharedGate == nil
            ? nil
            : layout.expertPlaces(
                [name.sharedExpert], width: width, hidden: configuration.sharedExpertHiddenSize)
    }

    func weights<Element>(in flat: Buffer<Element>) -> LayerWeights<Element> {
        var sharedWeights: SharedExpertWeights<Element>?
        if let shared, let sharedGate {
            sharedWeights = SharedExpertWeights(places: shared, gate_D: flat[sharedGate])
        }
        return LayerWeights(
            attentionNorm_D: flat[attentionNorm],
            attention: AttentionWeights(
                query_HCD: flat[query], key_GCD: flat[key], value_GCD: flat[value],
                queryNorm_C: queryNorm.map { flat[$0] }, keyNorm_C: keyNorm.map { flat[$0] },
                output_DHC: flat[output]),
            expertsNorm_D: flat[expertsNorm],
            experts: ExpertsWeights(
                router_ED: flat[router], all: flat, places: experts, shared: sharedWeights))
    }
}

extension ParameterLayout {
    /// The range of a tensor that a model's own layout is bound to have.
    fileprivate func place(_ name: String) -> Range<Int> {
        guard let tensor = tensor(named: name) else { preconditionFailure("no tensor \(name)") }
        return tensor.range
    }

    fileprivate func expertPlaces(
        _ names: [MLPTensorNames], width: Int, hidden: Int
    ) -> ExpertPlaces {
        ExpertPlaces(
            width: width, hidden: hidden, gate: names.map { place($0.gate).lowerBound },
            up: names.map { place($0.up).lowerBound },
            down: names.map { place($0.down).lowerBound })
    }
}
