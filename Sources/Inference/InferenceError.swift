/// What generation cannot do with what it was given from outside.
package struct InferenceError: Error, Equatable, CustomStringConvertible {
    package enum Code: Sendable, Equatable {
        case emptyPrompt
        case promptTooLong
        case unknownToken
        case invalidSampling
        case invalidMask
    }

    package let code: Code
    /// What was expected, what was found, what to do.
    package let message: String

    init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    package var description: String { message }
}
