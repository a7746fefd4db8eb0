package import LocalSGD
package import NIOCore
package import Tensors

/// What a worker's lossy updates of one module left unsaid, to be said later.
///
/// SparseLoCo (2508.15706) and others:
///
///     e = beta * e + D;  sent = C(e);  e -= sent
///
/// Until an update is settled both residuals are kept, the one before it and the one after:
///
///     idle --encode--> in flight --settle--> idle
///
/// A push is repeated with the bytes that `encode` returned, never encoded again.
package struct ErrorFeedback: Sendable {
    /// What became of an update.
    package enum Verdict: Sendable, Equatable {
        /// It counts: what it did not say is left to say.
        case applied
        /// It was too late, too old or of no member: all of it is left to say.
        case missed
        /// It was bad: the residual is as if it had never been.
        case discarded
    }

    /// Factor on what is left, from round to round, unless given.
    package static let beta = Float(RunSettings().feedbackDecay)
    /// How much larger than the update itself what is sent may be with `beta`: all that equal
    /// updates leave, within reason.
    package static func gainMax(beta: Double) -> Double { 1 / max(1 - beta, 1 / gainLimit) }
    private static let gainLimit = 1000.0

    /// Factor on what is left, from round to round.
    package let beta: Float
    /// What is left, [n].
    package private(set) var residual: FloatBuffer
    /// What is left if the update in flight counts, [n]; idle, memory for the next one.
    private var next: FloatBuffer
    private var inFlight: (codec: Codec, payload: ByteBuffer, touched: TouchedRanges)?
    /// The last update's bytes, settled or not, and its round.
    private var sent: (round: Int, payload: ByteBuffer)?

    package init(count: Int, beta: Float = ErrorFeedback.beta) {
        self.init(residual: FloatBuffer(count: count), beta: beta)
    }

    /// Goes on from a `residual` [n] that was kept; it is this value's own from now on.
    package init(residual: FloatBuffer, beta: Float = ErrorFeedback.beta) {
        precondition(beta >= 0 && beta <= 1, "a factor of \(beta)")
        self.beta = beta
        self.residual = residual
        next = FloatBuffer(count: residual.count)
    }

    /// Whether it is known what became of every update.
    package var isSettled: Bool { inFlight == nil }

    /// What the next round starts from, [n], if nobody tells what became of an update in flight.
    package var kept: FloatBuffer {
        guard let inFlight, inFlight.codec != .raw else { return residual }
        return next
    }

    /// The bytes of the `update` of `round`; asked again, the same bytes, whatever became of them.
    ///
    /// It is one of the `touched` parameters alone, or of all of them. An update before it that
    /// nobody told the end of counts as said: said twice it would do more harm.
    package mutating func payload(
        of update: Update, touching touched: TouchedRanges? = nil, round: Int, with codec: Codec
    ) throws(CodecError) -> ByteBuffer {
        if let sent, sent.round == round { return sent.payload }
        settle(.applied)
        let payload = try encode(update, touching: touched, with: codec)
        sent = (round, payload)
        return payload
    }

    /// The bytes of `update` and of what earlier ones left; it is then in flight.
    ///
    /// What is left of parameters that are not `touched` stays as it is. If it throws, nothing has
    /// changed. `raw` loses nothing, so it neither reads nor leaves a residual.
    package mutating func encode(
        _ update: Update, touching: TouchedRanges? = nil, with codec: Codec
    ) throws(CodecError) -> ByteBuffer {
        precondition(inFlight == nil, "the update before is not settled")
        let touched = touching ?? TouchedRanges(all: residual.count)
        let payload: ByteBuffer
        if case .raw = codec {
            payload = try codec.encode(update)
        } else {
            let left = touched.isWhole ? next : FloatBuffer(count: touched.count)
            payload = try codec.encode(
                Feedback(update, beta: beta, residual: touched.gathered(residual)), next: left)
            if !touched.isWhole {
                next.copy(from: residual)
                touched.scatter(left, to: next)
            }
        }
        inFlight = (codec, payload, touched)
        return payload
    }

    /// Tells what became of the update in flight; without one it changes nothing.
    package mutating func settle(_ verdict: Verdict) {
        guard let (codec, payload, touched) = inFlight else { return }
        inFlight = nil
        if case .raw = codec { return }
        switch verdict {
        case .applied:
            swap(&residual, &next)
        case .missed:
            swap(&residual, &next)
            let left = touched.gathered(residual)
            do { try codec.add(payload, to: left) } catch {
                preconditionFailure("an update of our own does not decode: \(error)")
            }
            if !touched.isWhole { touched.scatter(left, to: residual) }
        case .discarded: break
        }
    }
}

extension ErrorFeedback.Verdict {
    /// `nil` for a push that has to be sent again.
    package init?(_ outcome: PushOutcome) {
        switch outcome {
        case .accepted: self = .applied
        case .late, .stale, .notMember: self = .missed
        case .refused: self = .discarded
        case .early: return nil
        }
    }
}
