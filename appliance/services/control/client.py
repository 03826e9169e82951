"""The commands' side of the control socket: plain blocking calls, no event loop.

Fails: NotRunningError when no server listens, RequestRefusedError with the server's
words, OSError when the connection breaks.
"""

import socket
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from appliance.net import unixsockets
from appliance.services.control.protocol import ProtocolError, decode_line, encode_line

__all__ = ["ControlClient", "NotRunningError", "RequestRefusedError"]

_TIMEOUT_S: Final = 60.0
_MAX_LINE_BYTES: Final = 16_777_216


class NotRunningError(Exception):
    """No server listens on the socket."""


class RequestRefusedError(Exception):
    """The server said no; the text says why."""


class ControlClient:
    """One connection. Use it in a ``with`` block."""

    def __init__(self, path: Path) -> None:
        """Connect. Raises NotRunningError."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(_TIMEOUT_S)
        try:
            unixsockets.connect(self._socket, path)
        except (FileNotFoundError, ConnectionRefusedError) as error:
            self._socket.close()
            raise NotRunningError(str(path)) from error
        except OSError:
            self._socket.close()
            raise
        self._reader = self._socket.makefile("rb")
        self.result: dict[str, Any] = {}

    def __enter__(self) -> "ControlClient":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._reader.close()
        self._socket.close()

    def items(self, command: str, **arguments: Any) -> Iterator[Any]:
        """Send a request and yield the items of its answer; ``result`` is set at the end. Raises RequestRefusedError."""
        self._socket.sendall(encode_line({"command": command, **arguments}))
        while True:
            line = self._reader.readline(_MAX_LINE_BYTES)
            if not line.endswith(b"\n"):
                raise RequestRefusedError("the server closed the connection")
            try:
                answer = decode_line(line)
            except ProtocolError as error:
                raise RequestRefusedError(f"the server's answer makes no sense: {error}") from error
            if "item" in answer:
                yield answer["item"]
                continue
            if not answer.get("ok"):
                raise RequestRefusedError(str(answer.get("error", "no reason given")))
            self.result = answer.get("result", {})
            return

    def call(self, command: str, **arguments: Any) -> dict[str, Any]:
        """Send a request and return its result; items are passed over. Raises RequestRefusedError."""
        for _ in self.items(command, **arguments):
            pass
        return self.result
