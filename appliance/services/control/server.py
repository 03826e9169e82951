"""The control socket: how commands reach the running server.

Owns ``<data>/control.sock`` (mode 0600: its owner and root alone), its connections
and their limits. What a command does is a handler that wiring puts in; a
handler sends items, returns a result, and raises ``CommandError`` for what the
user did wrong.

Fails: a handler's bug is logged with its traceback and answered in general
words; the connection and the server live on.

Sources: Postfix's private sockets, RFC 8259 (JSON).
"""

import contextlib
import os
import socket
import stat
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import trio

from appliance.model.errors import ApplianceError
from appliance.net import unixsockets
from appliance.observe.maillog import MailLog
from appliance.services.control.protocol import MAX_REQUEST_BYTES, ProtocolError, Request, encode_line, parse_request

__all__ = ["CommandError", "ControlServer", "Handler"]

_MAX_CONNECTIONS: Final = 16
_IDLE_S: Final = 60.0
_SEND_BYTES: Final = 65_536


class CommandError(Exception):
    """The request cannot be done; the text is for the user."""


SendItem = Callable[[dict[str, Any]], Awaitable[None]]
Handler = Callable[[Mapping[str, Any], SendItem], Awaitable[dict[str, Any]]]
"""Takes the arguments, sends any number of items, returns the result."""


class ControlServer:
    """Listens until cancelled."""

    def __init__(self, path: Path, handlers: Mapping[str, Handler], log: MailLog) -> None:
        self._path = path
        self._handlers = handlers
        self._log = log
        self._limit = trio.CapacityLimiter(_MAX_CONNECTIONS)
        self._bound: socket.socket | None = None

    def bind(self) -> None:
        """Make the socket; who connects waits for ``run``. Raises OSError: before anything is delivered, a start must know that it can stay."""
        self._bound = _bind(self._path)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve requests; started once the socket is there. The socket is removed at the end."""
        if self._bound is None:
            self.bind()
        assert self._bound is not None
        with _removed_at_end(self._path, self._bound) as listening:
            listener = trio.SocketListener(trio.socket.from_stdlib_socket(listening))
            async with listener, trio.open_nursery() as nursery:
                task_status.started()
                while True:
                    stream = await listener.accept()
                    nursery.start_soon(self._session, stream)

    async def _session(self, stream: trio.SocketStream) -> None:
        """Answer one connection's requests; nothing it does or breaks leaves here."""
        async with stream:
            try:
                async with self._limit:
                    await self._converse(stream)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return
            except Exception as error:  # noqa: BLE001 - one connection's failure must not end the server
                self._log.exception("control_crashed", error)

    async def _converse(self, stream: trio.SocketStream) -> None:
        buffer = bytearray()
        while True:
            with trio.move_on_after(_IDLE_S) as idle:
                line = await _receive_line(stream, buffer)
            if idle.cancelled_caught or line is None:
                return
            if len(line) > MAX_REQUEST_BYTES:
                await stream.send_all(encode_line({"ok": False, "error": f"request longer than {MAX_REQUEST_BYTES} bytes"}))
                return
            await self._answer(stream, line)

    async def _answer(self, stream: trio.SocketStream, line: bytes) -> None:
        try:
            request = parse_request(line)
            last = {"ok": True, "result": await self._handle(stream, request)}
        except (ProtocolError, CommandError) as error:
            last = {"ok": False, "error": str(error)}
        except ApplianceError as error:
            # Whoever may open this socket owns the data directory: the detail may be seen.
            last = {"ok": False, "error": f"{error.client_text}: {error.detail}"}
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise
        except Exception as error:  # noqa: BLE001 - a bug in a handler is one failed command
            self._log.exception("control_command_crashed", error)
            last = {"ok": False, "error": "internal error, see the log"}
        await stream.send_all(encode_line(last))

    async def _handle(self, stream: trio.SocketStream, request: Request) -> dict[str, Any]:
        """Run a command; its items go out in packets and none is left behind."""
        handler = self._handlers.get(request.command)
        if handler is None:
            raise CommandError(f"unknown command {request.command!r}")
        waiting = bytearray()

        async def send(item: dict[str, Any]) -> None:
            waiting.extend(encode_line({"item": item}))
            if len(waiting) >= _SEND_BYTES:
                packet = bytes(waiting)
                waiting.clear()
                await stream.send_all(packet)

        result = await handler(request.arguments, send)
        if waiting:
            await stream.send_all(bytes(waiting))
        return result


async def _receive_line(stream: trio.SocketStream, buffer: bytearray) -> bytes | None:
    """Return the next line, None at the end; a line that is too long comes back as it is so far."""
    while (end := buffer.find(b"\n")) < 0 and len(buffer) <= MAX_REQUEST_BYTES:
        data = await stream.receive_some(_SEND_BYTES)
        if not data:
            return None
        buffer += data
    end = len(buffer) if end < 0 else end
    line = bytes(buffer[:end])
    del buffer[: end + 1]
    return line


def _bind(path: Path) -> socket.socket:
    """Return the listening socket, mode 0600; a socket file left by a crash is replaced, a running server's is not."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        _remove_stale(path)
        # The mode holds from the first moment on: another user must not connect between bind and chmod.
        mask = os.umask(0o177)
        try:
            unixsockets.bind(listening, path)
        finally:
            os.umask(mask)
        listening.listen(_MAX_CONNECTIONS)
    except OSError:
        listening.close()
        raise
    return listening


@contextlib.contextmanager
def _removed_at_end(path: Path, listening: socket.socket) -> Iterator[socket.socket]:
    with listening:
        try:
            yield listening
        finally:
            path.unlink(missing_ok=True)


def _remove_stale(path: Path) -> None:
    """Remove a socket that nobody listens on; who is here holds the spool's lock already, so no other server runs."""
    try:
        is_socket = stat.S_ISSOCK(path.lstat().st_mode)
    except FileNotFoundError:
        return
    if is_socket:
        path.unlink(missing_ok=True)
