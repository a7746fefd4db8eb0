package import Distributed
internal import NIOCore
package import Wire

/// How the compiler's view of a distributed call becomes a payload and back. Every distributed
/// method takes one ``WireValue`` and returns one; there are no generics and no custom errors.

/// Collects the one argument of a call.
package struct CallEncoder: DistributedTargetInvocationEncoder {
    package typealias SerializationRequirement = any WireValue

    private(set) var payload: WirePayload?

    package mutating func recordArgument<Value: WireValue>(
        _ argument: RemoteCallArgument<Value>
    ) throws {
        guard payload == nil else {
            throw ClusterError(.protocolViolation, "a distributed method takes one argument")
        }
        payload = argument.value.encode()
    }

    package mutating func recordGenericSubstitution<Kind>(_ type: Kind.Type) throws {
        throw ClusterError(.protocolViolation, "distributed methods are not generic")
    }

    package mutating func recordReturnType<Result: WireValue>(_ type: Result.Type) throws {}
    package mutating func recordErrorType<Failure: Error>(_ type: Failure.Type) throws {}
    package mutating func doneRecording() throws {}
}

/// Hands the argument out to the called method.
package struct CallDecoder: DistributedTargetInvocationDecoder {
    package typealias SerializationRequirement = any WireValue

    private var payload: WirePayload?

    init(_ payload: WirePayload) { self.payload = payload }

    package mutating func decodeNextArgument<Argument: WireValue>() throws -> Argument {
        guard let payload = payload.take() else {
            throw ClusterError(.protocolViolation, "a distributed method takes one argument")
        }
        return try Argument(decoding: payload)
    }

    package mutating func decodeGenericSubstitutions() throws -> [any Any.Type] { [] }
    package mutating func decodeReturnType() throws -> (any Any.Type)? { nil }
    package mutating func decodeErrorType() throws -> (any Any.Type)? { nil }
}

/// Sends what the called method returned.
package struct CallResultHandler: DistributedTargetInvocationResultHandler {
    package typealias SerializationRequirement = any WireValue

    let reply: @Sendable (Result<WirePayload, ClusterError>) -> Void

    package func onReturn<Success: WireValue>(value: Success) async throws {
        reply(.success(value.encode()))
    }

    package func onReturnVoid() async throws {
        reply(.success(Nothing().encode()))
    }

    package func onThrow<Failure: Error>(error: Failure) async throws {
        reply(.failure(ClusterError.reportable(error)))
    }
}

extension ClusterError {
    /// An error in the form in which a caller may see it.
    static func reportable(_ error: any Error) -> ClusterError {
        (error as? ClusterError) ?? ClusterError(.remoteFailure, "\(error)")
    }
}
