/// What weights and activations are made of while a model is trained.
///
/// Parameters, their gradients and the optimizer's moments are fp32 in both: bf16 weights are
/// rounded copies.
package enum Precision: String, CaseIterable, Sendable {
    case fp32
    case bf16
}
