import HTTPTypes
import Hummingbird
import NIOCore
import Wire

/// Answers one request.
///
/// Reads nothing but method and path; bodies of requests are ignored.
struct StatusResponder: HTTPResponder {
    typealias Context = BasicRequestContext

    let source: StatusSource

    func respond(to request: Request, context: Context) async throws -> Response {
        switch (request.method, request.uri.path) {
        case (.get, "/v1/status"):
            return json(await source.snapshot().json)
        case (.get, "/v1/events"):
            return events()
        case (.get, "/metrics"):
            let text = Metrics.text(of: await source.snapshot())
            return plain(text, type: Metrics.contentType)
        case (.get, "/livez"):
            return plain("alive\n")
        case (.get, "/readyz"):
            let state = await source.snapshot().state
            let isReady = state != .starting && state != .failed && state != .unspecified
            return plain("\(state.label)\n", status: isReady ? .ok : .serviceUnavailable)
        case (let method, let path):
            guard let command = Self.command(path: path) else {
                let known = Self.readPaths.contains(path)
                return known ? notAllowed("GET") : notFound(path)
            }
            return method == .post ? try await perform(command) : notAllowed("POST")
        }
    }

    private static let readPaths = ["/v1/status", "/v1/events", "/metrics", "/livez", "/readyz"]

    private static func command(path: String) -> StatusCommand? {
        switch path {
        case "/v1/stop": return .stop
        case "/v1/checkpoint": return .checkpoint
        default:
            let prefix = "/v1/drain/"
            guard path.hasPrefix(prefix) else { return nil }
            let worker = path.dropFirst(prefix.count)
            return worker.isEmpty || worker.contains("/") ? nil : .drain(worker: String(worker))
        }
    }

    private func perform(_ command: StatusCommand) async throws -> Response {
        do {
            return json(CommandReply(message: try await source.perform(command)).json)
        } catch let error as StatusError where error.code == .refused {
            return json(CommandReply(error: error.message).json, status: .conflict)
        }
    }

    // MARK: Events

    /// Shortest time between two events, and longest.
    private static let eventInterval = (shortest: Duration.milliseconds(200), ticksMax: 5)

    /// A stream of server-sent events, each a whole status: one when something changes, at least
    /// one a second.
    ///
    /// A status is made only when the reader has taken the one before, so a slow reader costs no
    /// memory: it sees fewer.
    private func events() -> Response {
        let source = source
        let body = ResponseBody { writer in
            var told: Martlet_V1_RunStatus?
            var ticks = 0
            while true {
                let status = await source.snapshot()
                if ticks >= Self.eventInterval.ticksMax || Self.differs(status, told) {
                    try await writer.write(ByteBuffer(string: "data: \(status.json)\n\n"))
                    told = status
                    ticks = 0
                }
                if status.state.isFinal { break }
                try await source.pause(Self.eventInterval.shortest)
                ticks += 1
            }
            try await writer.finish(nil)
        }
        return Response(
            status: .ok,
            headers: [.contentType: "text/event-stream", .cacheControl: "no-store"], body: body)
    }

    /// Whether more has changed than figures that change all the time.
    private static func differs(
        _ new: Martlet_V1_RunStatus, _ old: Martlet_V1_RunStatus?
    ) -> Bool {
        guard let old else { return true }
        return new.round != old.round || new.state != old.state
            || new.heldOutRound != old.heldOutRound || new.checkpoint != old.checkpoint
            || new.members.map(\.state) != old.members.map(\.state)
    }

    // MARK: Responses

    private func plain(
        _ text: String, type: String = "text/plain; charset=utf-8",
        status: HTTPResponse.Status = .ok
    ) -> Response {
        Response(
            status: status, headers: [.contentType: type],
            body: ResponseBody(byteBuffer: ByteBuffer(string: text)))
    }

    private func json(_ text: String, status: HTTPResponse.Status = .ok) -> Response {
        plain(text + "\n", type: "application/json", status: status)
    }

    private func notFound(_ path: String) -> Response {
        json(CommandReply(error: "no such path: \(path)").json, status: .notFound)
    }

    private func notAllowed(_ allowed: String) -> Response {
        var response = json(
            CommandReply(error: "only \(allowed) is answered here").json, status: .methodNotAllowed)
        response.headers[.allow] = allowed
        return response
    }
}
