package import NIOCore
internal import SwiftProtobuf

/// What the transport itself says, as values; `protos/martlet/wire.proto` is the schema.

/// Who opens a connection, and which one.
///
/// All but the lane is held against the certificate.
package struct Hello: Sendable, Equatable {
    /// Version of the conversation that this build speaks.
    package static let protocolVersion: UInt32 = 1

    package enum Lane: Sendable, CaseIterable { case control, bulk }

    package var protocolVersion: UInt32
    package var cluster: String
    package var role: String
    package var name: String
    package var incarnation: UInt64
    package var lane: Lane
    /// How often the other side asked to open this lane again.
    package var attempt: UInt32

    package init(
        protocolVersion: UInt32 = Hello.protocolVersion, cluster: String, role: String,
        name: String, incarnation: UInt64, lane: Lane, attempt: UInt32 = 0
    ) {
        self.protocolVersion = protocolVersion
        self.cluster = cluster
        self.role = role
        self.name = name
        self.incarnation = incarnation
        self.lane = lane
        self.attempt = attempt
    }
}

extension Hello: ProtobufValue {
    package var message: Martlet_V1_Hello {
        .with {
            $0.protocol = protocolVersion
            $0.cluster = cluster
            $0.role = role
            $0.name = name
            $0.incarnation = incarnation
            $0.lane = lane == .control ? .control : .bulk
            $0.attempt = attempt
        }
    }

    package init(_ message: Martlet_V1_Hello, bulk: ByteBuffer) throws(WireError) {
        switch message.lane {
        case .control: lane = .control
        case .bulk: lane = .bulk
        case .unspecified, .UNRECOGNIZED:
            throw WireError(.malformed, "a hello names lane \(message.lane.rawValue)")
        }
        protocolVersion = message.protocol
        cluster = message.cluster
        role = message.role
        name = message.name
        incarnation = message.incarnation
        attempt = message.attempt
    }
}

/// The connection is accepted.
package struct Welcome: Sendable, Equatable {
    package var incarnation: UInt64

    package init(incarnation: UInt64) { self.incarnation = incarnation }
}

extension Welcome: ProtobufValue {
    package var message: Martlet_V1_Welcome { .with { $0.incarnation = incarnation } }

    package init(_ message: Martlet_V1_Welcome, bulk: ByteBuffer) throws(WireError) {
        incarnation = message.incarnation
    }
}

/// Why a connection is not accepted, or ends.
package struct Refusal: Sendable, Equatable {
    /// Bytes of a reason, at most; the rest is cut off.
    package static let reasonBytesMax = 512

    package var reason: String
    /// Whether to open the same connection again.
    package var redial: Bool

    package init(reason: String, redial: Bool = false) {
        self.reason = printable(reason, bytesMax: Refusal.reasonBytesMax)
        self.redial = redial
    }
}

extension Refusal: ProtobufValue {
    package var message: Martlet_V1_Refusal {
        .with {
            $0.reason = reason
            $0.redial = redial
        }
    }

    package init(_ message: Martlet_V1_Refusal, bulk: ByteBuffer) throws(WireError) {
        self.init(reason: message.reason, redial: message.redial)
    }
}

/// Why a call did not succeed.
package struct Failure: Sendable, Equatable {
    /// Bytes of a message, at most; the rest is cut off.
    package static let messageBytesMax = 4096

    /// A word that programs can switch over.
    package var code: String
    package var text: String

    package init(code: String, text: String) {
        self.code = printable(code, bytesMax: 64)
        self.text = printable(text, bytesMax: Failure.messageBytesMax)
    }
}

extension Failure: ProtobufValue {
    package var message: Martlet_V1_Failure {
        .with {
            $0.code = code
            $0.message = text
        }
    }

    package init(_ message: Martlet_V1_Failure, bulk: ByteBuffer) throws(WireError) {
        self.init(code: message.code, text: message.message)
    }
}

/// What may go into a log or onto a terminal: no control characters, no more than `bytesMax` bytes.
private func printable(_ text: String, bytesMax: Int) -> String {
    var result = String.UnicodeScalarView()
    var bytes = 0
    for scalar in text.unicodeScalars {
        bytes += scalar.utf8.count
        guard bytes <= bytesMax else { break }
        let isControl = scalar.properties.generalCategory == .control
        result.append(isControl ? " " : scalar)
    }
    return String(result)
}
