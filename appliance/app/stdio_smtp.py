"""SMTP over standard input and output (sendmail -bs): a caller's session, passed on to the server on this machine.

Owns that each command waits for its reply, whatever the caller does: a script
that pipes a whole session in would be taken for an attacker by the server.

Fails: the end of either side ends the session; ``ConnectionError`` when the server broke off.
Does not: TLS, which makes no sense on a pipe.
Sources: RFC 5321 section 4.1.1.4, RFC 3030 section 2, Postfix sendmail(1).
"""

import socket
from typing import IO, Final

__all__ = ["pass_session"]

MAX_LINE_BYTES: Final = 65_536
CHUNK_BYTES: Final = 65_536
REPLY_S: Final = 600.0


def pass_session(sock: socket.socket, source: IO[bytes], sink: IO[bytes]) -> None:
    """Carry a session from greeting to end. Blocks. Raises OSError when the server is gone."""
    sock.settimeout(REPLY_S)
    with sock.makefile("rb") as replies:
        code = _pass_reply(replies, sink)
        while code not in {b"221", b"421"} and (line := source.readline(MAX_LINE_BYTES)):
            words = line.split()
            verb = words[0].upper() if words else b""
            if verb == b"STARTTLS":
                sink.write(b"454 4.7.0 No TLS on standard input\r\n")
                sink.flush()
                continue
            sock.sendall(line.rstrip(b"\r\n") + b"\r\n")
            if verb == b"BDAT" and len(words) > 1 and words[1].isdigit():
                _pass_octets(sock, source, int(words[1]))
            code = _pass_reply(replies, sink)
            if verb == b"DATA" and code == b"354":
                _pass_content(sock, source)
                code = _pass_reply(replies, sink)


def _pass_reply(replies: IO[bytes], sink: IO[bytes]) -> bytes:
    """Pass one reply on and return its code."""
    while True:
        line = replies.readline(MAX_LINE_BYTES)
        if not line.endswith(b"\n"):
            raise ConnectionResetError(0, "the server closed the connection")
        if line.rstrip().upper() not in {b"250-STARTTLS", b"250 STARTTLS"}:
            sink.write(line)
        if line[3:4] != b"-":
            sink.flush()
            return line[:3]


def _pass_octets(sock: socket.socket, source: IO[bytes], count: int) -> None:
    while count and (data := source.read(min(count, CHUNK_BYTES))):
        sock.sendall(data)
        count -= len(data)


def _pass_content(sock: socket.socket, source: IO[bytes]) -> None:
    """Pass lines on up to the lone dot; at the end of input none is made up, so that half a message is never sent."""
    pending: list[bytes] = []
    size = 0
    line = b""
    whole = True
    while (line := source.readline(MAX_LINE_BYTES)) and not (whole and line in {b".\r\n", b".\n"}):
        whole = line.endswith(b"\n")
        pending.append(line if not whole or line.endswith(b"\r\n") else line[:-1] + b"\r\n")
        size += len(line)
        if size >= CHUNK_BYTES:
            sock.sendall(b"".join(pending))
            pending, size = [], 0
    sock.sendall(b"".join(pending) + (b".\r\n" if line else b""))
    if not line:
        sock.shutdown(socket.SHUT_WR)
