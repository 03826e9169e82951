"""A small HTTP/1.1 server: h11 for the protocol, a ``Connection`` below, a handler above.

Owns limits, time-outs, keep-alive, and what a broken request or handler is
answered with. Bodies come whole and bounded; responses go out whole in one
send, or streamed piece by piece (event streams) until the browser leaves.

Fails: never towards the listener, but for bugs outside the handler. A handler
that fails is logged with its traceback and answered 500.
Does not: HTTP/2, compression, ranges; a handler may take the connection over (101). h11 is imported by the first
connection: a server that nobody browses does not pay for it.

Sources: RFC 9112, RFC 9110 sections 7.2 (Host) and 10.1.1 (100-continue), h11's trio-server example.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from appliance.net.connection import Connection, ConnectionLostError
from appliance.net.http_messages import Request, Response, error_response, parse_target
from appliance.net.http_router import Handler
from appliance.observe.maillog import MailLog

if TYPE_CHECKING:
    import h11

__all__ = ["HttpLimits", "HttpServer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpLimits:
    """Bytes and seconds; what one browser may use."""

    max_header_bytes: int = 16_384
    max_body_bytes: int = 1_048_576
    max_requests: int = 1_000
    idle_timeout_s: float = 75
    request_timeout_s: float = 30
    handler_timeout_s: float = 60
    send_timeout_s: float = 60
    stream_timeout_s: float = 300
    """Longest silence of a streamed response; a keep-alive comment restarts it."""


class _BadRequestError(Exception):
    """A request that is answered with an error before any handler sees it; the connection ends after it."""

    def __init__(self, status: int, detail: str = "") -> None:
        super().__init__(detail)
        self.response = error_response(status, detail, {"connection": "close"})


class HttpServer:
    """Answers requests with ``handler``, usually a ``Router``.

    ``is_our_host``: called with the Host header's name without port; False is
    answered 421. A page that only this machine may read needs it against DNS rebinding.
    """

    def __init__(
        self,
        handler: Handler,
        *,
        mail_log: MailLog,
        limits: HttpLimits | None = None,
        is_our_host: Callable[[str], bool] | None = None,
        body_limit: Callable[[str], int] | None = None,
    ) -> None:
        """``body_limit``: the most bytes of a request to a path, instead of the one limit."""
        self._handler = handler
        self._mail_log = mail_log
        self._limits = limits or HttpLimits()
        self._is_our_host = is_our_host
        self._body_limit = body_limit or (lambda _path: self._limits.max_body_bytes)

    async def handle(self, connection: Connection) -> None:
        """Serve one connection until it ends. The caller closes it."""
        exchange = _Exchanges(connection, self._handler, self._mail_log, self._limits, self._is_our_host, self._body_limit)
        await connection.run(exchange.run)


class _Exchanges:
    """The requests and responses of one connection, one after the other."""

    def __init__(
        self,
        connection: Connection,
        handler: Handler,
        mail_log: MailLog,
        limits: HttpLimits,
        is_our_host: Callable[[str], bool] | None,
        body_limit: Callable[[str], int],
    ) -> None:
        import h11  # Here, not above: 24 ms and 4 MB that only browsers need.

        self._h11 = h11
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.max_header_bytes)
        self._connection = connection
        self._handler = handler
        self._mail_log = mail_log
        self._limits = limits
        self._is_our_host = is_our_host
        self._body_limit = body_limit
        self._method = "GET"
        """That of the request at hand: also a refusal of HEAD has no body."""

    async def run(self) -> None:
        """Serve until either side has had enough.

        Raises:   ConnectionLostError.
        """
        h11 = self._h11
        for count in range(1, self._limits.max_requests + 1):
            try:
                request = await self._receive_request()
            except _BadRequestError as error:
                await self._send_response(error.response, self._method)
                return
            if request is None:
                return
            last = count == self._limits.max_requests or self._connection.draining
            response = await self._respond(request)
            if response.upgrade is not None:
                await self._give_away(response, response.upgrade)
                return
            await self._send_response(response, request.method, last=last)
            if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
                return
            self._http.start_next_cycle()

    async def _give_away(self, response: Response, upgrade: Callable[[Connection, bytes], Awaitable[None]]) -> None:
        """Let the handler go on with the connection in another protocol (RFC 9110 section 7.8)."""
        headers = [(name, value) for name, value in response.header_list() if name not in {"content-type", "content-length"}]
        head = self._http.send(self._h11.InformationalResponse(status_code=response.status, headers=headers)) or b""
        self._deadline(self._limits.send_timeout_s)
        await self._connection.send_all(head)
        await upgrade(self._connection, self._http.trailing_data[0])

    # Receiving

    async def _receive_request(self) -> Request | None:
        """Return the next request with its body, None when the browser is done."""
        h11 = self._h11
        self._method = "GET"
        self._deadline(self._limits.idle_timeout_s)
        head = await self._next_event(idle=True)
        if head is h11.PAUSED or isinstance(head, h11.ConnectionClosed):
            return None
        assert isinstance(head, h11.Request)
        self._method = head.method.decode("ascii")
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in head.headers]
        try:
            path, query = parse_target(head.target.decode("ascii"))
        except (ValueError, UnicodeError) as error:
            raise _BadRequestError(400, "The address of this request cannot be read") from error
        self._check_host(headers)
        body = await self._receive_body(head, self._body_limit(path))
        return Request(
            method=self._method,
            path=path,
            query=query,
            headers=headers,
            body=body,
            client=self._connection.peer.host,
            secure=self._connection.is_tls,
        )

    async def _receive_body(self, head: "h11.Request", most: int) -> bytes:
        h11 = self._h11
        declared = next((value for name, value in head.headers if name == b"content-length"), b"0")
        if int(declared) > most:
            raise _BadRequestError(413, f"At most {most} bytes are accepted")
        self._deadline(self._limits.request_timeout_s)
        if self._http.they_are_waiting_for_100_continue:
            go_on = self._http.send(h11.InformationalResponse(status_code=100, headers=[]))
            await self._connection.send_all(go_on or b"")
        pieces: list[bytes] = []
        size = 0
        while isinstance(event := await self._next_event(), h11.Data):
            size += len(event.data)
            if size > most:
                raise _BadRequestError(413, f"At most {most} bytes are accepted")
            pieces.append(bytes(event.data))
        if not isinstance(event, h11.EndOfMessage):
            raise ConnectionLostError("The request was not finished")
        return b"".join(pieces)

    async def _next_event(self, *, idle: bool = False) -> object:
        h11 = self._h11
        while True:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                raise _BadRequestError(error.error_status_hint, str(error)) from error
            if event is not h11.NEED_DATA:
                return event
            data = await self._connection.receive_some(idle=idle)
            if idle and data:
                # The first octets of a request: from now on it must hurry.
                idle = False
                self._deadline(self._limits.request_timeout_s)
            self._http.receive_data(data)

    def _check_host(self, headers: list[tuple[str, str]]) -> None:
        if self._is_our_host is None:
            return
        host = next((value for name, value in headers if name == "host"), "")
        name = host[: host.find("]") + 1] if host.startswith("[") else host.partition(":")[0]
        if not self._is_our_host(name.lower()):
            raise _BadRequestError(421, "This server is not known by the name your browser used")

    # Responding

    async def _respond(self, request: Request) -> Response:
        self._deadline(self._limits.handler_timeout_s)
        try:
            return await self._handler(request)
        except ConnectionLostError:
            raise
        except Exception as error:  # noqa: BLE001 - told by MailLog.exception; a page's bug must not end the server
            self._mail_log.exception(
                "request_failed", error, service="web", session=self._connection.session_id, method=request.method, path=request.path
            )
            return error_response(500, "This was logged; the log says more.", {"connection": "close"})

    async def _send_response(self, response: Response, method: str, *, last: bool = False) -> None:
        """Send head and body. A body that is not wanted (HEAD, 304) is not sent, a stream of one is closed."""
        h11 = self._h11
        if self._http.our_state not in {h11.SEND_RESPONSE, h11.IDLE}:
            return
        headers = response.header_list()
        if last:
            headers.append(("connection", "close"))
        self._deadline(self._limits.send_timeout_s)
        head = self._http.send(h11.Response(status_code=response.status, headers=headers)) or b""
        bare = method == "HEAD" or response.status in {204, 304}
        if not isinstance(response.body, bytes):
            await self._connection.send_all(head)
            await self._send_stream(response.body, bare=bare)
            return
        data = b"" if bare or not response.body else self._http.send(h11.Data(data=response.body)) or b""
        end = self._http.send(h11.EndOfMessage()) or b""
        if self._http.our_state is h11.MUST_CLOSE and self._http.their_state is not h11.DONE:
            await self._connection.send_last(head + data + end)  # Unread input is left: linger, or it would reset the reply.
        else:
            await self._connection.send_all(head + data + end)

    async def _send_stream(self, body: AsyncGenerator[bytes, None], *, bare: bool) -> None:
        """Send pieces as they come; the browser's leaving ends it."""
        async with aclosing(body):
            if not bare:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._cancel_when_gone, nursery.cancel_scope)
                    await self._send_pieces(body)
                    nursery.cancel_scope.cancel()
        if self._http.our_state is self._h11.SEND_BODY:
            self._deadline(self._limits.send_timeout_s)
            await self._connection.send_all(self._http.send(self._h11.EndOfMessage()) or b"")

    async def _send_pieces(self, body: AsyncGenerator[bytes, None]) -> None:
        """Send until the body ends or breaks; a broken one is cut off without its end mark, so the browser can tell."""
        self._deadline(self._limits.stream_timeout_s)
        try:
            async for piece in body:
                if not piece:
                    continue
                self._deadline(self._limits.send_timeout_s)
                await self._connection.send_all(self._http.send(self._h11.Data(data=piece)) or b"")
                self._deadline(self._limits.stream_timeout_s)
        except ConnectionLostError:
            self._http.send_failed()
        except Exception as error:  # noqa: BLE001 - told by MailLog.exception
            self._mail_log.exception("request_failed", error, service="web", session=self._connection.session_id)
            self._http.send_failed()

    async def _cancel_when_gone(self, scope: trio.CancelScope) -> None:
        """Wait for the end of input; a browser sends nothing while it listens to a stream."""
        data = b" "
        while data and len(self._http.trailing_data[0]) <= self._limits.max_header_bytes:
            try:
                data = await self._connection.receive_some(idle=True)
            except ConnectionLostError:
                break
            self._http.receive_data(data)
        self._http.send_failed()
        scope.cancel()

    def _deadline(self, seconds: float) -> None:
        self._connection.set_deadline(trio.current_time() + seconds)
