internal import CKernels

/// A weight [O,I] in the order in which products read it on this machine: for products with few
/// rows, which an unpacked weight's copying would cost more than their arithmetic.
package struct PackedWeight<Element: KernelElement>: Sendable {
    package let inputs: Int
    package let outputs: Int
    fileprivate let panels: Buffer<Element>

    /// Elements behind a packed weight that may be read.
    private static var slack: Int { 64 / MemoryLayout<Element>.stride }

    /// Packs `weight` [O,I]; I must be even for bf16.
    package init(_ weight: Buffer<Element>, inputs I: Int, outputs O: Int) {
        require(weight, holds: O * I, "weight")
        precondition(I % 2 == 0 || Element.self != BFloat16.self, "\(I) inputs do not pair up")
        inputs = I
        outputs = O
        panels = Buffer(count: O * I + Self.slack)
        unsafe withPointers(weight, panels) { weight, panels in
            unsafe Element.operations.kernels.pack(I, O, weight, panels)
        }
    }
}

extension Operations {
    /// y [M,O] = x [M,I] wᵀ.
    package func linear(
        rows M: Int, x: Buffer<Element>, w: PackedWeight<Element>, y: Buffer<Element>
    ) {
        require(x, holds: M * w.inputs, "linear input")
        require(y, holds: M * w.outputs, "linear output")
        unsafe withPointers(x, w.panels, y) { x, panels, y in
            unsafe kernels.linearPacked(M, w.inputs, w.outputs, x, panels, nil, y)
        }
    }
}

extension KernelThreads {
    /// Multiplications and additions of products with nothing around them, on all threads: what the
    /// processor can do.
    ///
    /// Returns how many operations were done, two for each multiply-add.
    package static func spend<Element: KernelElement>(_: Element.Type, rounds: Int) -> Double {
        2 * (Element.self == BFloat16.self ? martlet_peak_bf16(rounds) : martlet_peak_f32(rounds))
    }
}
