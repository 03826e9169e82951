"""The server's side of WebSocket, without input or output: frames in, events out.

Pull form (``doc/sansio.md``). Owns unmasking, fragments, control frames and the
closing handshake. Small messages only: who sends more than the limit is told so
and closed. No extension is offered.

Fails: never for what a client sends; it becomes ``Closed`` with the code to tell.

Sources: RFC 6455 sections 4.2.2 (accept key), 5 (frames), 7.4.1 (close codes).
"""

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import Final

__all__ = ["NEED_DATA", "Closed", "NeedData", "TextReceived", "WebSocketServer", "accept_key"]

_MAGIC: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0, 1, 2, 8, 9, 10
_NORMAL, _PROTOCOL_ERROR, _BAD_DATA, _TOO_BIG = 1000, 1002, 1007, 1009


@dataclass(frozen=True, slots=True)
class NeedData:
    """Nothing can be said before more arrives."""


@dataclass(frozen=True, slots=True)
class TextReceived:
    """A whole message; of binary ones the octets as Latin-1."""

    text: str


@dataclass(frozen=True, slots=True)
class Closed:
    """The end; send what ``data_to_send`` has, and close the connection."""

    code: int


NEED_DATA: Final = NeedData()
Event = NeedData | TextReceived | Closed


def accept_key(key: str) -> str | None:
    """Return Sec-WebSocket-Accept for a client's key; None when it is no key (RFC 6455 section 4.2.1)."""
    try:
        if len(base64.b64decode(key, validate=True)) != 16:
            return None
    except (binascii.Error, ValueError):
        return None
    return base64.b64encode(hashlib.sha1(key.encode("ascii") + _MAGIC, usedforsecurity=False).digest()).decode("ascii")


class WebSocketServer:
    """One connection after the handshake. ``max_message``: octets of a client's message."""

    def __init__(self, *, max_message: int = 65_536) -> None:
        self._max_message = max_message
        self._buffer = bytearray()
        self._message: bytearray | None = None
        self._is_text = False
        self._out: list[bytes] = []
        self._is_closed = False
        self._code = _NORMAL

    @property
    def is_closed(self) -> bool:
        return self._is_closed

    def receive_data(self, data: bytes) -> None:
        """Take what arrived; ``b""`` is the end of input."""
        if data:
            self._buffer += data
        elif not self._is_closed:
            self._is_closed = True

    def next_event(self) -> Event:
        """Return the next event; pings are answered on the way."""
        while not self._is_closed:
            frame = self._take_frame()
            if frame is None:
                return Closed(self._code) if self.is_closed else NEED_DATA
            event = self._handle(*frame)
            if event is not None:
                return event
        return Closed(self._code)

    def _take_frame(self) -> tuple[int, bytes, bool] | None:
        """Return opcode, payload and whether it is final; None when it is not all there. A bad one closes."""
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        final, opcode = bool(buffer[0] & 0x80), buffer[0] & 0x0F
        length, start = buffer[1] & 0x7F, 2
        if length > 125:
            size = 2 if length == 126 else 8
            if len(buffer) < 2 + size:
                return None
            length, start = int.from_bytes(buffer[2 : 2 + size]), 2 + size
        fault = self._fault(length, opcode, final=final)
        if fault:
            self._close(fault)
            return None
        if len(buffer) < start + 4 + length:
            return None
        mask, payload = bytes(buffer[start : start + 4]), bytes(buffer[start + 4 : start + 4 + length])
        del buffer[: start + 4 + length]
        return opcode, _unmasked(payload, mask), final

    def _fault(self, length: int, opcode: int, *, final: bool) -> int:
        """Return the close code of a frame that may not be; 0 when it may (RFC 6455 section 5.2)."""
        first, second = self._buffer[0], self._buffer[1]
        if first & 0x70 or not second & 0x80 or opcode not in {_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG}:
            return _PROTOCOL_ERROR
        if opcode >= _CLOSE:
            return _PROTOCOL_ERROR if length > 125 or not final else 0
        if (opcode == _CONTINUATION) == (self._message is None):
            return _PROTOCOL_ERROR
        return _TOO_BIG if length + len(self._message or b"") > self._max_message else 0

    def _handle(self, opcode: int, payload: bytes, final: bool) -> Event | None:
        if opcode == _CLOSE:
            self._close(_NORMAL)
            return Closed(int.from_bytes(payload[:2]) if len(payload) >= 2 else _NORMAL)
        if opcode == _PING:
            self._out.append(_frame(_PONG, payload))
            return None
        if opcode == _PONG:
            return None
        if self._message is None:
            self._message, self._is_text = bytearray(), opcode == _TEXT
        self._message += payload
        if not final:
            return None
        message, self._message = bytes(self._message), None
        try:
            return TextReceived(message.decode("utf-8" if self._is_text else "latin-1"))
        except UnicodeDecodeError:
            self._close(_BAD_DATA)
            return Closed(_BAD_DATA)

    # Sending

    def send_text(self, text: str) -> None:
        """Say a message. Nothing is said after the close."""
        if not self._is_closed:
            self._out.append(_frame(_TEXT, text.encode("utf-8", "replace")))

    def send_ping(self) -> None:
        if not self._is_closed:
            self._out.append(_frame(_PING, b""))

    def close(self) -> None:
        """End it from our side."""
        if not self._is_closed:
            self._close(_NORMAL)

    def _close(self, code: int) -> None:
        self._is_closed, self._code = True, code
        self._buffer.clear()
        self._out.append(_frame(_CLOSE, code.to_bytes(2)))

    def data_to_send(self) -> bytes:
        """Return what must go out now, once."""
        data, self._out = b"".join(self._out), []
        return data


def _unmasked(payload: bytes, mask: bytes) -> bytes:
    """Undo the client's mask (RFC 6455 section 5.3), all octets at once."""
    length = len(payload)
    key = (mask * (length // 4 + 1))[:length]
    return (int.from_bytes(payload) ^ int.from_bytes(key)).to_bytes(length)


def _frame(opcode: int, payload: bytes) -> bytes:
    length = len(payload)
    if length < 126:
        head = bytes((0x80 | opcode, length))
    elif length < 65_536:
        head = bytes((0x80 | opcode, 126)) + length.to_bytes(2)
    else:
        head = bytes((0x80 | opcode, 127)) + length.to_bytes(8)
    return head + payload
