import MoE
import Tensors
import Testing

/// The fast kernels, put together, against the reference in fp64; and the same bits for any number
/// of threads.
///
/// Serial because the number of threads belongs to the process.
@Suite(.serialized) struct FastTransformerTests {
    private let tokens: [Int32] = {
        var numbers = TestNumbers(seed: 21)
        return numbers.tokens(3 * 34, vocabulary: 83)
    }()

    @Test func agreesWithTheReferenceInDoublePrecision() {
        let configuration = ModelConfiguration.odd
        let parameters: Buffer<Float> = configuration.testParameters(seed: 22, scale: 0.2)
        let (report, gradients) = step(configuration, parameters, .fast)
        let (expected, reference) = step(
            configuration, parameters.converted(to: Double.self), .reference)
        #expect(report.expertTokens == expected.expertTokens)
        #expect(abs(report.meanCrossEntropy / expected.meanCrossEntropy - 1) < 1e-5)
        #expect(abs(report.loadBalancing / expected.loadBalancing - 1) < 1e-5)
        for tensor in configuration.layout.tensors {
            let distance = relativeDistance(
                gradients[tensor.range].array, reference[tensor.range].array)
            #expect(distance < 1e-5, "\(tensor.name) differs by \(distance)")
        }
    }

    @Test(arguments: ModelVariant.allCases)
    func everyFamilyAgrees(variant: ModelVariant) throws {
        let configuration = variant.applied(to: .odd)
        try configuration.validate()
        let parameters: Buffer<Float> = configuration.testParameters(seed: 25, scale: 0.2)
        let (report, gradients) = step(configuration, parameters, .fast)
        let (expected, reference) = step(
            configuration, parameters.converted(to: Double.self), .reference)
        #expect(report.expertTokens == expected.expertTokens)
        #expect(abs(report.meanCrossEntropy / expected.meanCrossEntropy - 1) < 1e-5)
        #expect(relativeDistance(gradients.array, reference.array) < 1e-5)
    }

    @Test func plainFloatAgreesToo() {
        let configuration = ModelConfiguration.odd
        let parameters: Buffer<Float> = configuration.testParameters(seed: 22, scale: 0.2)
        let (report, gradients) = step(configuration, parameters, .reference)
        let (expected, fast) = step(configuration, parameters, .fast)
        #expect(report.expertTokens == expected.expertTokens)
        #expect(abs(report.meanCrossEntropy / expected.meanCrossEntropy - 1) < 1e-5)
        #expect(relativeDistance(fast.array, gradients.array) < 1e-5)
    }

    /// In bf16 a router may choose otherwise where two experts are almost equally probable, so the
    /// reference starts from the same rounded weights, and only what all tokens say together is
    /// compared.
    @Test func bf16AgreesAsFarAsItsPrecisionGoes() {
        let configuration = ModelConfiguration.odd
        let exact: Buffer<Float> = configuration.testParameters(seed: 22, scale: 0.2)
        let parameters = Buffer<BFloat16>(count: exact.count)
        parameters.round(exact)
        let (report, gradients) = step(configuration, parameters, .fast)
        let (expected, reference) = step(
            configuration, parameters.widened().converted(to: Double.self), .reference)
        #expect(abs(report.meanCrossEntropy / expected.meanCrossEntropy - 1) < 2e-3)
        #expect(abs(report.loadBalancing / expected.loadBalancing - 1) < 2e-2)
        let distance = relativeDistance(gradients.array, reference.array)
        #expect(distance < 0.1, "gradients differ by \(distance)")
    }

    @Test(arguments: ModelVariant.allCases)
    func computingActivationsAgainChangesNoBit(variant: ModelVariant) {
        let configuration = variant.applied(to: .odd)
        let parameters: Buffer<Float> = configuration.testParameters(seed: 26, scale: 0.2)
        let (report, gradients) = step(configuration, parameters, .fast)
        let sparing = Transformer<Float>(
            configuration: configuration, batch: 3, sequence: 33, recomputes: true)
        let again = FloatBuffer(count: parameters.count)
        #expect(sparing.gradients(of: parameters, tokens: tokens, into: again) == report)
        #expect(zip(again.array, gradients.array).allSatisfy { $0.bitPattern == $1.bitPattern })
        let whole = Transformer<Float>(configuration: configuration, batch: 3, sequence: 33)
        #expect(sparing.activationBytes < whole.activationBytes * 3 / 4)
    }

    @Test func bitsDoNotDependOnThreads() {
        let exact: Buffer<Float> = ModelConfiguration.odd.testParameters(seed: 23, scale: 0.2)
        let rounded = Buffer<BFloat16>(count: exact.count)
        rounded.round(exact)
        expectSameBits(exact)
        expectSameBits(rounded)
    }

    private func expectSameBits<Element: KernelElement>(_ parameters: Buffer<Element>)
    where Element.Sum == Float {
        let configuration = ModelConfiguration.odd
        let before = KernelThreads.count
        defer { KernelThreads.set(before) }
        KernelThreads.set(1)
        let (report, gradients) = step(configuration, parameters, Element.operations)
        #expect(gradients.array.contains { $0 != 0 } && gradients.allFinite)
        for threads in [2, 3] {
            KernelThreads.set(threads)
            let (again, repeated) = step(configuration, parameters, Element.operations)
            #expect(again == report)
            #expect(
                zip(repeated.array, gradients.array).allSatisfy { $0.bitPattern == $1.bitPattern },
                "\(threads) threads")
        }
    }

    @Test func brokenParametersBreakTheLossAndNothingElse() {
        let configuration = ModelConfiguration.odd
        for broken in [Float.nan, .infinity] {
            let parameters: Buffer<Float> = configuration.testParameters(seed: 24)
            parameters.fill(broken)
            let (report, gradients) = step(configuration, parameters, .fast)
            #expect(report.crossEntropySum.isNaN && !gradients.allFinite)
        }
    }

    private func step<Element: KernelElement>(
        _ configuration: ModelConfiguration, _ parameters: Buffer<Element>,
        _ operations: Operations<Element>
    ) -> (LossReport, Buffer<Element.Sum>) {
        let transformer = Transformer(
            configuration: configuration, batch: 3, sequence: 33, operations: operations)
        let gradients = Buffer<Element.Sum>(count: parameters.count)
        return (transformer.gradients(of: parameters, tokens: tokens, into: gradients), gradients)
    }
}
