"""POP3 and IMAP clients that read as fast as the socket gives, and understand next to nothing."""

import socket

__all__ = ["ImapClient", "PopClient"]

CHUNK = 1_048_576


class _Client:
    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 120)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray()
        self._line()

    def _more(self) -> None:
        # A delayed acknowledgement of ours must not be measured as the server's time.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        data = self._socket.recv(CHUNK)
        if not data:
            raise ConnectionError("the server closed the connection")
        self._buffer += data

    def _line(self) -> bytes:
        while (eol := self._buffer.find(b"\r\n")) < 0:
            self._more()
        line = bytes(self._buffer[: eol + 2])
        del self._buffer[: eol + 2]
        return line

    def close(self) -> None:
        self._socket.close()


class PopClient(_Client):
    def command(self, line: str) -> bytes:
        """Return the status line. Raises RuntimeError for -ERR."""
        self._socket.sendall(line.encode() + b"\r\n")
        status = self._line()
        if not status.startswith(b"+OK"):
            raise RuntimeError(f"{line.split(' ', 1)[0]}: {status!r}")
        return status

    def multi(self, line: str) -> int:
        """Return how many octets a multi-line response has."""
        self.command(line)
        # An empty response ends with its first line; later a dot alone stands behind a line end.
        while len(self._buffer) < 3:
            self._more()
        if self._buffer.startswith(b".\r\n"):
            del self._buffer[:3]
            return 0
        total = 0
        while (at := self._buffer.find(b"\r\n.\r\n")) < 0:
            if len(self._buffer) > CHUNK:
                total += len(self._buffer) - 4
                del self._buffer[:-4]
            self._more()
        del self._buffer[: at + 5]
        return total + at + 5


class ImapClient(_Client):
    _tag = 0

    def command(self, line: str, literal: bytes = b"") -> bytes:
        """Return everything up to and with the tagged response. ``literal`` is sent without waiting (RFC 7888). Raises RuntimeError."""
        self._tag += 1
        tag = b"a%d " % self._tag
        self._socket.sendall(tag + line.encode() + (b" {%d+}\r\n%b\r\n" % (len(literal), literal) if literal else b"\r\n"))
        searched = 0
        while True:
            at = 0 if self._buffer.startswith(tag) else self._buffer.find(b"\r\n" + tag, max(0, searched - len(tag) - 2))
            if at >= 0 and (eol := self._buffer.find(b"\r\n", at + 2)) >= 0:
                response = bytes(self._buffer[: eol + 2])
                del self._buffer[: eol + 2]
                if b" OK" not in response[at : eol + 2][:12]:
                    raise RuntimeError(f"{line}: {response[-200:]!r}")
                return response
            searched = at if at >= 0 else len(self._buffer)
            self._more()
