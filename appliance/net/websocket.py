"""WebSocket on a connection that HTTP gives away: what is to be told goes out, pings and the close are answered.

Owns the handshake's answer, the keep-alive and the end. What the client says is
read and forgotten: these channels tell, they do not listen.

Fails: ConnectionLostError passes to ``Connection.run``.

Sources: RFC 6455 sections 4.2 (opening handshake) and 5.5.2 (ping).
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Final

import trio

from appliance.net.connection import Connection, ConnectionLostError
from appliance.net.http_messages import Request, Response, error_response
from appliance.protocols.websocket import NEED_DATA, Closed, WebSocketServer, accept_key

__all__ = ["websocket_response"]

_PING_S: Final = 30.0
_SEND_S: Final = 60.0


def websocket_response(request: Request, tell: Callable[[], AsyncGenerator[str, None]]) -> Response:
    """Return the answer that makes a WebSocket of the request's connection; ``tell`` gives the messages.

    A request that is no opening handshake is answered 400, one of another version 426.
    """
    key = accept_key(request.header("sec-websocket-key"))
    is_upgrade = "websocket" in request.header("upgrade").lower() and "upgrade" in request.header("connection").lower()
    if request.method != "GET" or not is_upgrade or key is None:
        return error_response(400, "This address speaks WebSocket")
    if request.header("sec-websocket-version") != "13":
        return error_response(426, "WebSocket 13 is spoken here", {"sec-websocket-version": "13"})

    async def serve(connection: Connection, left: bytes) -> None:
        await _serve(connection, left, tell())

    return Response(101, headers={"upgrade": "websocket", "connection": "upgrade", "sec-websocket-accept": key}, upgrade=serve)


class _Channel:
    """The connection and the core; several tasks may flush."""

    def __init__(self, connection: Connection) -> None:
        self.core = WebSocketServer()
        self._connection = connection
        self._turn = trio.Lock()

    async def flush(self) -> None:
        async with self._turn:
            self._connection.set_deadline(trio.current_time() + _SEND_S + _PING_S)
            data = self.core.data_to_send()
            if data:
                await self._connection.send_all(data)

    async def receive(self) -> None:
        self.core.receive_data(await self._connection.receive_some(idle=True))


async def _serve(connection: Connection, left: bytes, messages: AsyncGenerator[str, None]) -> None:
    channel = _Channel(connection)
    core = channel.core
    if left:
        core.receive_data(left)
    async with aclosing(messages), trio.open_nursery() as nursery:
        nursery.start_soon(_listen, channel, nursery.cancel_scope)
        nursery.start_soon(_keep_alive, channel)
        async for message in messages:
            core.send_text(message)
            await channel.flush()
        core.close()
        await channel.flush()
        nursery.cancel_scope.cancel()


async def _listen(channel: _Channel, scope: trio.CancelScope) -> None:
    """Answer pings and the close until the client goes."""
    try:
        while True:
            event = channel.core.next_event()
            await channel.flush()
            if isinstance(event, Closed) or channel.core.is_closed:
                break
            if event is NEED_DATA:
                await channel.receive()
    except ConnectionLostError:
        pass  # a browser that left
    scope.cancel()


async def _keep_alive(channel: _Channel) -> None:
    while True:
        await trio.sleep(_PING_S)
        channel.core.send_ping()
        await channel.flush()
