internal import CKernels

/// The kernels for one element type, one entry per operation of `operations.h`, whose comments give
/// each one's shapes.
///
/// ``Operations`` checks those shapes and is the only caller.
@safe struct KernelTable<Element: KernelElement>: Sendable {
    typealias In = UnsafePointer<Element>?
    typealias Out = UnsafeMutablePointer<Element>?
    typealias SumIn = UnsafePointer<Element.Sum>?
    typealias SumOut = UnsafeMutablePointer<Element.Sum>?
    typealias Index = UnsafePointer<Int32>?
    typealias IndexOut = UnsafeMutablePointer<Int32>?

    let embedding: @Sendable (Int, Int, Int, Index, In, Out) -> Void
    let embeddingBackward: @Sendable (Int, Int, Int, Index, In, SumOut) -> Void
    let linear: @Sendable (Int, Int, Int, In, In, In, Out) -> Void
    let linearBackward: @Sendable (Int, Int, Int, In, In, In, Int32, Out, SumOut, SumOut) -> Void
    let linearWide: @Sendable (Int, Int, Int, In, In, SumOut) -> Void
    let linearWideBackward: @Sendable (Int, Int, Int, In, In, SumIn, Int32, Out, SumOut) -> Void
    let rmsNorm: @Sendable (Int, Int, Double, In, In, Out, SumOut) -> Void
    let rmsNormBackward: @Sendable (Int, Int, In, In, SumIn, In, Int32, Out, SumOut) -> Void
    let rope: @Sendable (martlet_rope_shape, SumIn, SumIn, Out) -> Void
    let ropeBackward: @Sendable (martlet_rope_shape, SumIn, SumIn, Out) -> Void
    let attention: @Sendable (martlet_attention_shape, In, In, In, Out, SumOut) -> Void
    let attentionBackward:
        @Sendable (martlet_attention_shape, In, In, In, In, SumIn, In, Out, Out, Out) -> Void
    let attentionCached: @Sendable (martlet_attention_shape, Int, Index, In, In, In, Out) -> Void
    let latentHeads: @Sendable (Int, Int, Int, Int, Int, In, In, Out, Out) -> Void
    let latentHeadsBackward: @Sendable (Int, Int, Int, Int, Int, In, In, Out, Out) -> Void
    let router:
        @Sendable (
            martlet_router_shape, SumIn, SumOut, IndexOut, SumOut, IndexOut,
            UnsafeMutablePointer<Double>?
        ) -> Void
    let routerBackward:
        @Sendable (
            martlet_router_shape, SumIn, Index, SumIn, SumIn, UnsafePointer<Double>?, SumOut
        ) -> Void
    let mask:
        @Sendable (
            martlet_mask_shape, SumIn, Index, SumIn, Index, SumOut, SumOut, IndexOut
        ) -> martlet_mask_report
    let maskBackward:
        @Sendable (
            martlet_mask_shape, Index, SumIn, Index, SumIn, Index, SumIn, Double, SumOut, SumOut
        ) -> Void
    let experts:
        @Sendable (
            martlet_experts_shape, martlet_routing, In, In, SumIn, Out, Out, Out, Out, Int32, Out
        ) -> Void
    let expertsBackward:
        @Sendable (
            martlet_experts_shape, martlet_routing, In, In, SumIn, Out, Out, Out, In, Out, Int32,
            Out, SumOut, SumOut
        ) -> Void
    let sharedExpert: @Sendable (Int, Int, In, In, In, SumOut, Out) -> Void
    let sharedExpertBackward:
        @Sendable (Int, Int, In, In, In, SumIn, In, Int32, Out, SumOut, Out) -> Void
    let add: @Sendable (Int, In, In, Out) -> Void
    let headLoss: @Sendable (Int, Int, Int, In, In, Index, Double, Out, SumOut) -> martlet_loss
    let pack: @Sendable (Int, Int, In, Out) -> Void
    let linearPacked: @Sendable (Int, Int, Int, In, In, In, Out) -> Void
}

extension KernelTable where Element == Float {
    /// Vectorised and threaded.
    static let fast = unsafe KernelTable(
        embedding: martlet_embedding_f32,
        embeddingBackward: martlet_embedding_backward_f32,
        linear: martlet_linear_f32,
        linearBackward: martlet_linear_backward_f32,
        linearWide: martlet_linear_wide_f32,
        linearWideBackward: martlet_linear_wide_backward_f32,
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
        mask: martlet_mask_f32,
        maskBackward: martlet_mask_backward_f32,
        experts: martlet_experts_f32,
        expertsBackward: martlet_experts_backward_f32,
        sharedExpert: martlet_shared_expert_f32,
        sharedExpertBackward: martlet_shared_expert_backward_f32,
        add: martlet_add_f32,
        headLoss: martlet_head_loss_f32,
        pack: martlet_pack_f32,
        linearPacked: martlet_linear_packed_f32)
}

extension KernelTable where Element == Float {
    /// Plain loops in fp32, one thread.
    static let plain = unsafe KernelTable(
        embedding: martlet_embedding_ref_f32,
        embeddingBackward: martlet_embedding_backward_ref_f32,
        linear: martlet_linear_ref_f32,
        linearBackward: martlet_linear_backward_ref_f32,
        linearWide: martlet_linear_wide_ref_f32,
        linearWideBackward: martlet_linear_wide_backward_ref_f32,
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
        mask: martlet_mask_ref_f32,
        maskBackward: martlet_mask_backward_ref_f32,
        experts: martlet_experts_ref_f32,
        expertsBackward: martlet_experts_backward_ref_f32,
        sharedExpert: martlet_shared_expert_ref_f32,
        sharedExpertBackward: martlet_shared_expert_backward_ref_f32,
        add: martlet_add_ref_f32,
        headLoss: martlet_head_loss_ref_f32,
        pack: martlet_pack_ref_f32,
        linearPacked: martlet_linear_packed_ref_f32)
}

extension KernelTable where Element == Double {
    /// Plain loops in fp64, one thread.
    static let plain = unsafe KernelTable(
        embedding: martlet_embedding_ref_f64,
        embeddingBackward: martlet_embedding_backward_ref_f64,
        linear: martlet_linear_ref_f64,
        linearBackward: martlet_linear_backward_ref_f64,
        linearWide: martlet_linear_wide_ref_f64,
        linearWideBackward: martlet_linear_wide_backward_ref_f64,
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
        mask: martlet_mask_ref_f64,
        maskBackward: martlet_mask_backward_ref_f64,
        experts: martlet_experts_ref_f64,
        expertsBackward: martlet_experts_backward_ref_f64,
        sharedExpert: martlet_shared_expert_ref_f64,
        sharedExpertBackward: martlet_shared_expert_backward_ref_f64,
        add: martlet_add_ref_f64,
        headLoss: martlet_head_loss_ref_f64,
        pack: martlet_pack_ref_f64,
        linearPacked: martlet_linear_packed_ref_f64)
}
