internal import CKernels

/// The kernels for one element type, one entry per operation of `operations.h`, whose comments give
/// each one's shapes.
///
/// ``Operations`` checks those shapes and is the only caller.
@safe struct KernelTable<Element>: Sendable {
    typealias In = UnsafePointer<Element>?
    typealias Out = UnsafeMutablePointer<Element>?
    typealias Index = UnsafePointer<Int32>?
    typealias IndexOut = UnsafeMutablePointer<Int32>?

    let embedding: @Sendable (Int, Int, Int, Index, In, Out) -> Void
    let embeddingBackward: @Sendable (Int, Int, Int, Index, In, Out) -> Void
    let linear: @Sendable (Int, Int, Int, In, In, In, Out) -> Void
    let linearBackward: @Sendable (Int, Int, Int, In, In, In, Int32, Out, Out, Out) -> Void
    let rmsNorm: @Sendable (Int, Int, Double, In, In, Out, Out) -> Void
    let rmsNormBackward: @Sendable (Int, Int, In, In, In, In, Int32, Out, Out) -> Void
    let rope: @Sendable (martlet_rope_shape, In, In, Out) -> Void
    let ropeBackward: @Sendable (martlet_rope_shape, In, In, Out) -> Void
    let attention: @Sendable (martlet_attention_shape, In, In, In, Out, Out) -> Void
    let attentionBackward:
        @Sendable (martlet_attention_shape, In, In, In, In, In, In, Out, Out, Out) -> Void
    let attentionCached: @Sendable (martlet_attention_shape, Int, Index, In, In, In, Out) -> Void
    let latentHeads: @Sendable (Int, Int, Int, Int, Int, In, In, Out, Out) -> Void
    let latentHeadsBackward: @Sendable (Int, Int, Int, Int, Int, In, In, Out, Out) -> Void
    let router:
        @Sendable (
            martlet_router_shape, In, Out, IndexOut, Out, IndexOut, UnsafeMutablePointer<Double>?
        )
            -> Void
    let routerBackward:
        @Sendable (martlet_router_shape, In, Index, In, In, UnsafePointer<Double>?, Out) -> Void
    let gather: @Sendable (Int, Int, Int, Index, In, Out) -> Void
    let gatherBackward: @Sendable (Int, Int, Int, Index, In, Int32, Out) -> Void
    let combine: @Sendable (Int, Int, Int, Index, In, In, Out) -> Void
    let combineBackward: @Sendable (Int, Int, Int, Index, In, In, In, Out, Out) -> Void
    let experts: @Sendable (martlet_experts_shape, Index, In, In, Out, Out, Out, Out) -> Void
    let expertsBackward:
        @Sendable (martlet_experts_shape, Index, In, In, Out, Out, In, In, Out, Out) -> Void
    let swiglu: @Sendable (Int, In, In, Out) -> Void
    let swigluBackward: @Sendable (Int, In, In, In, Out, Out) -> Void
    let sharedExpert: @Sendable (Int, Int, In, In, In, Out, Out) -> Void
    let sharedExpertBackward: @Sendable (Int, Int, In, In, In, In, In, Int32, Out, Out, Out) -> Void
    let add: @Sendable (Int, In, In, Out) -> Void
    let scale: @Sendable (Int, Double, In, Out) -> Void
    let crossEntropy: @Sendable (Int, Int, Index, In) -> martlet_loss
    let crossEntropyBackward: @Sendable (Int, Int, Index, Double, Out) -> martlet_loss
    let logSoftmax: @Sendable (Int, Int, In, Out) -> Void
    let argmax: @Sendable (Int, Int, In, IndexOut) -> Void
}

extension KernelTable where Element == Float {
    /// Vectorised and threaded.
    static let fast = unsafe KernelTable(
        embedding: martlet_embedding_f32,
        embeddingBackward: martlet_embedding_backward_f32,
        linear: martlet_linear_f32,
        linearBackward: martlet_linear_backward_f32,
        rmsNorm: martlet_rmsnorm_f32,
        rmsNormBackward: martlet_rmsnorm_backward_f32,
        rope: martlet_rope_f32,
        ropeBackward: martlet_rope_backward_f32,
        attention: martlet_attention_f32,
        attentionBackward: martlet_attention_backward_f32,
        attentionCached: martlet_attention_cached_f32,
        latentHeads: martlet_latent_heads_f32,
        latentHeadsBackward: martlet_latent_heads_backward_f32,
        router: martlet_router_f32,
        routerBackward: martlet_router_backward_f32,
        gather: martlet_gather_f32,
        gatherBackward: martlet_gather_backward_f32,
        combine: martlet_combine_f32,
        combineBackward: martlet_combine_backward_f32,
        experts: martlet_experts_f32,
        expertsBackward: martlet_experts_backward_f32,
        swiglu: martlet_swiglu_f32,
        swigluBackward: martlet_swiglu_backward_f32,
        sharedExpert: martlet_shared_expert_f32,
        sharedExpertBackward: martlet_shared_expert_backward_f32,
        add: martlet_add_f32,
        scale: martlet_scale_f32,
        crossEntropy: martlet_cross_entropy_f32,
        crossEntropyBackward: martlet_cross_entropy_backward_f32,
        logSoftmax: martlet_log_softmax_f32,
        argmax: martlet_argmax_f32)

    /// Plain loops in fp32, one thread.
    static let plain = unsafe KernelTable(
        embedding: martlet_embedding_ref_f32,
        embeddingBackward: martlet_embedding_backward_ref_f32,
        linear: martlet_linear_ref_f32,
        linearBackward: martlet_linear_backward_ref_f32,
        rmsNorm: martlet_rmsnorm_ref_f32,
        rmsNormBackward: martlet_rmsnorm_backward_ref_f32,
        rope: martlet_rope_ref_f32,
        ropeBackward: martlet_rope_backward_ref_f32,
        attention: martlet_attention_ref_f32,
        attentionBackward: martlet_attention_backward_ref_f32,
        attentionCached: martlet_attention_cached_ref_f32,
        latentHeads: martlet_latent_heads_ref_f32,
        latentHeadsBackward: martlet_latent_heads_backward_ref_f32,
        router: martlet_router_ref_f32,
        routerBackward: martlet_router_backward_ref_f32,
        gather: martlet_gather_ref_f32,
        gatherBackward: martlet_gather_backward_ref_f32,
        combine: martlet_combine_ref_f32,
        combineBackward: martlet_combine_backward_ref_f32,
        experts: martlet_experts_ref_f32,
        expertsBackward: martlet_experts_backward_ref_f32,
        swiglu: martlet_swiglu_ref_f32,
        swigluBackward: martlet_swiglu_backward_ref_f32,
        sharedExpert: martlet_shared_expert_ref_f32,
        sharedExpertBackward: martlet_shared_expert_backward_ref_f32,
        add: martlet_add_ref_f32,
        scale: martlet_scale_ref_f32,
        crossEntropy: martlet_cross_entropy_ref_f32,
        crossEntropyBackward: martlet_cross_entropy_backward_ref_f32,
        logSoftmax: martlet_log_softmax_ref_f32,
        argmax: martlet_argmax_ref_f32)
}

extension KernelTable where Element == Double {
    /// Plain loops in fp64, one thread.
    static let plain = unsafe KernelTable(
        embedding: martlet_embedding_ref_f64,
        embeddingBackward: martlet_embedding_backward_ref_f64,
        linear: martlet_linear_ref_f64,
        linearBackward: martlet_linear_backward_ref_f64,
        rmsNorm: martlet_rmsnorm_ref_f64,
        rmsNormBackward: martlet_rmsnorm_backward_ref_f64,
        rope: martlet_rope_ref_f64,
        ropeBackward: martlet_rope_backward_ref_f64,
        attention: martlet_attention_ref_f64,
        attentionBackward: martlet_attention_backward_ref_f64,
        attentionCached: martlet_attention_cached_ref_f64,
        latentHeads: martlet_latent_heads_ref_f64,
        latentHeadsBackward: martlet_latent_heads_backward_ref_f64,
        router: martlet_router_ref_f64,
        routerBackward: martlet_router_backward_ref_f64,
        gather: martlet_gather_ref_f64,
        gatherBackward: martlet_gather_backward_ref_f64,
        combine: martlet_combine_ref_f64,
        combineBackward: martlet_combine_backward_ref_f64,
        experts: martlet_experts_ref_f64,
        expertsBackward: martlet_experts_backward_ref_f64,
        swiglu: martlet_swiglu_ref_f64,
        swigluBackward: martlet_swiglu_backward_ref_f64,
        sharedExpert: martlet_shared_expert_ref_f64,
        sharedExpertBackward: martlet_shared_expert_backward_ref_f64,
        add: martlet_add_ref_f64,
        scale: martlet_scale_ref_f64,
        crossEntropy: martlet_cross_entropy_ref_f64,
        crossEntropyBackward: martlet_cross_entropy_backward_ref_f64,
        logSoftmax: martlet_log_softmax_ref_f64,
        argmax: martlet_argmax_ref_f64)
}
