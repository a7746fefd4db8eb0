internal import Wire

/// How an error travels back to the caller.
extension ClusterError {
    func encode() -> WirePayload { Failure(code: code.rawValue, text: "\(self)").encode() }

    static func decode(_ payload: WirePayload) -> ClusterError {
        guard let failure = try? Failure(decoding: payload) else {
            return ClusterError(.protocolViolation, "a failure that does not parse")
        }
        return ClusterError(Code(rawValue: failure.code) ?? .remoteFailure, failure.text)
    }
}
