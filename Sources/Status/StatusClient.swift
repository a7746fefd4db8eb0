import AsyncHTTPClient
import FoundationEssentials
import Glibc
import NIOCore
import NIOHTTP1
package import Wire

/// A status with the text it came in.
package struct StatusAnswer: Sendable {
    package let status: Martlet_V1_RunStatus
    /// One line of JSON, as the run wrote it.
    package let json: String

    package init(status: Martlet_V1_RunStatus, json: String) {
        self.status = status
        self.json = json
    }
}

/// Asks a run over its Unix socket.
///
/// Every function throws `StatusError`: `.noRun` if nobody answers.
package struct StatusClient: Sendable {
    /// Time a run has for an answer.
    private static let patience = TimeAmount.seconds(10)
    /// Bytes of one answer, at most.
    package static let answerBytesMax = 16 << 20

    /// One pool for the whole process.
    ///
    /// It does not try again by itself: that nobody answers is an answer.
    private static let http: HTTPClient = {
        var configuration = HTTPClient.Configuration()
        configuration.connectionPool.retryConnectionEstablishment = false
        configuration.redirectConfiguration = .disallow
        return HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    }()

    private let path: String

    package init(path: String) {
        self.path = path
    }

    package func fetch() async throws -> StatusAnswer {
        let (_, text) = try await request("/v1/status", .GET)
        return try Self.answer(text)
    }

    /// Has a command carried out.
    ///
    /// Returns the run's line about it.
    ///
    /// - Throws: `.refused` with the run's own words if it declines.
    package func perform(_ command: StatusCommand) async throws -> String {
        let (code, text) = try await request(command.path, .POST)
        let reply = try CommandReply(json: text)
        guard code == 200 else { throw StatusError(.refused, reply.error) }
        return reply.message
    }

    /// Hands out one status after another, until the run ends or `take` throws.
    package func follow(_ take: (StatusAnswer) async throws -> Void) async throws {
        // The stream outlives any deadline: it lasts as long as the run.
        let response = try await open("/v1/events", .GET, deadline: .distantFuture)
        var rest = ByteBuffer()
        do {
            for try await var part in response.body {
                rest.writeBuffer(&part)
                guard rest.readableBytes <= Self.answerBytesMax else {
                    throw StatusError(.answer, "an event at \(path) is too long")
                }
                while let line = Self.line(from: &rest) {
                    guard line.hasPrefix("data: ") else { continue }
                    try await take(Self.answer(String(line.dropFirst(6))))
                }
                rest.discardReadBytes()
            }
        } catch let error as HTTPClientError {
            throw StatusError(.noRun, "the run at \(path) has gone away", cause: error)
        } catch let error as ChannelError {
            throw StatusError(.noRun, "the run at \(path) has gone away", cause: error)
        } catch let error as IOError {
            throw StatusError(.noRun, "the run at \(path) has gone away", cause: error)
        }
    }

    private static func answer(_ text: String) throws(StatusError) -> StatusAnswer {
        let line = text.hasSuffix("\n") ? String(text.dropLast()) : text
        return StatusAnswer(status: try Martlet_V1_RunStatus(json: line), json: line)
    }

    private static func line(from buffer: inout ByteBuffer) -> String? {
        guard let end = buffer.readableBytesView.firstIndex(of: UInt8(ascii: "\n")) else {
            return nil
        }
        let line = buffer.readString(length: end - buffer.readerIndex)
        buffer.moveReaderIndex(forwardBy: 1)
        return line
    }

    private func request(
        _ target: String, _ method: HTTPMethod
    ) async throws -> (code: UInt, text: String) {
        let response = try await open(target, method, deadline: .now() + Self.patience)
        do {
            let body = try await response.body.collect(upTo: Self.answerBytesMax)
            return (response.status.code, String(buffer: body))
        } catch {
            throw StatusError(.answer, "the answer from \(path) broke off", cause: error)
        }
    }

    private func open(
        _ target: String, _ method: HTTPMethod, deadline: NIODeadline
    ) async throws -> HTTPClientResponse {
        var request = HTTPClientRequest(url: "http+unix://\(Self.escaped(path))\(target)")
        request.method = method
        do {
            return try await Self.http.execute(request, deadline: deadline)
        } catch let error as CancellationError {
            throw error
        } catch let error as IOError where error.errnoCode == EACCES {
            throw StatusError(
                .notPermitted, "the socket \(path) belongs to another user", cause: error)
        } catch let error as HTTPClientError where error == .deadlineExceeded {
            throw StatusError(
                .noRun, "the run at \(path) did not answer in time; look at its log", cause: error)
        } catch {
            throw StatusError(
                .noRun, "no run answers at \(path); start one with martlet up", cause: error)
        }
    }

    /// The path as the host of a URL: every byte but letters, digits and `-._~` as %XX.
    private static func escaped(_ path: String) -> String {
        path.utf8.map { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."),
                UInt8(ascii: "_"), UInt8(ascii: "~"):
                String(UnicodeScalar(byte))
            default:
                "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
            }
        }.joined()
    }
}
