"""The next hop: an SMTP server of threads that remembers every message it acknowledged, and is moody.

It answers 4xx or hangs up now and then, always before it has taken the message:
what it took it has acknowledged, so a second copy is the sender's doing.
"""

import random
import socket
import threading
import time
from dataclasses import dataclass
from typing import BinaryIO

from .message import digest, token_of

__all__ = ["Sink", "Taken"]

_REPLIES = {
    b"EHLO": b"250-sink.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE\r\n",
    b"DATA": b"503 5.5.1 no recipients\r\n",
    b"QUIT": b"221 2.0.0 bye\r\n",
}


@dataclass(frozen=True, slots=True)
class Taken:
    """One recipient of one message. ``at_s``: monotonic."""

    token: str
    recipient: str
    digest: str
    at_s: float


class Sink:
    """Listens from the start. ``moods``: share of commands answered badly."""

    def __init__(self, seed: int, moods: float = 0.02) -> None:
        self._chance = random.Random(seed)
        self.moods = moods
        self.taken: list[Taken] = []
        self._lock = threading.Lock()
        self._open: set[threading.Thread] = set()
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._socket.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def close(self) -> None:
        """Take no more connections."""
        self._socket.shutdown(socket.SHUT_RDWR)  # wakes who accepts; a closed number could soon be another socket's
        self._accepting.join()
        self._socket.close()

    def read_out(self) -> None:
        """Return when everything is read that senders, dead by now, had sent: it lies in the kernel, and was taken before they died."""
        # Who connected and died is accepted first; the port answers one after the other.
        with socket.create_connection(("127.0.0.1", self.port)) as last:
            last.recv(1)
        while running := [thread for thread in tuple(self._open) if thread.is_alive()]:
            running[0].join()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._open = {one for one in self._open if one.is_alive()} | {thread}
            thread.start()

    def _mood(self) -> str:
        with self._lock:
            if self._chance.random() >= self.moods:
                return ""
            return self._chance.choice(("4xx", "drop"))

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection, connection.makefile("rb") as lines:
                connection.settimeout(60)
                self._converse(connection, lines)
        except OSError:
            pass  # the sender was killed

    def _converse(self, connection: socket.socket, lines: BinaryIO) -> None:
        connection.sendall(b"220 sink.test ESMTP\r\n")
        recipients: list[str] = []
        has_sender = False
        while line := lines.readline():
            verb = line[:4].upper()
            mood = self._mood() if verb in (b"MAIL", b"RCPT", b"DATA") else ""
            if mood == "drop":
                return
            if mood:
                connection.sendall(b"451 4.3.0 not in the mood\r\n")
            elif verb == b"RCPT" and not has_sender:
                connection.sendall(b"503 5.5.1 MAIL first\r\n")
            elif verb == b"DATA" and recipients:
                connection.sendall(b"354 go on\r\n")
                if not self._take(connection, lines, recipients):
                    return
                recipients, has_sender = [], False
            else:
                if verb == b"RCPT":
                    recipients.append(line.split(b"<")[1].split(b">")[0].decode())
                elif verb in (b"MAIL", b"RSET"):
                    recipients, has_sender = [], verb == b"MAIL"
                connection.sendall(_REPLIES.get(verb, b"250 2.0.0 ok\r\n"))

    def _take(self, connection: socket.socket, lines: BinaryIO, recipients: list[str]) -> bool:
        """Read a message; return False to hang up."""
        received = []
        while (line := lines.readline()) != b".\r\n":
            if not line:
                return False
            received.append(line[1:] if line.startswith(b".") else line)
        mood = self._mood()
        if mood == "drop":
            return False
        if mood:
            connection.sendall(b"452 4.3.1 not now\r\n")
            return True
        message = b"".join(received)
        token, found, now = token_of(message), digest(message), time.monotonic()
        with self._lock:
            self.taken += [Taken(token, recipient, found, now) for recipient in recipients]
        connection.sendall(b"250 2.0.0 taken\r\n")
        return True
