"""Hands one message to a server, with blocking sockets: what ``carteiro send`` does on the wire.

Owns which addresses are tried, how long, and what each recipient was told. A
server that is just being restarted is waited for.

Fails: never; everything that can go wrong is in the ``Verdict``.
Does not: TLS or logins. This is the way to the server on this machine.

Sources: RFC 5321 section 4.5.3.2 (time limits), RFC 2033, Postfix sendmail(1).
"""

import contextlib
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from appliance.model.envelope import Envelope
from appliance.net import unixsockets
from appliance.net.endpoints import Endpoint
from appliance.protocols.smtp.client import SmtpClient
from appliance.protocols.smtp.client_events import (
    ClientClosed,
    ClientEvent,
    ClientNeedsData,
    CommandReplied,
    ContentWanted,
    HelloReplied,
    MessageEnded,
    MessageImpossible,
    MessageReplied,
    RecipientReplied,
    SenderReplied,
    ServerGreeted,
    ServerLost,
    ServerViolation,
)
from appliance.protocols.smtp.replies import Reply

__all__ = ["Conversation", "Target", "UnreachableError", "Verdict", "connect"]

CONNECT_S: Final = 10.0
PATIENCE_S: Final = 5.0
RETRY_S: Final = 0.25
REPLY_S: Final = 300.0
CONTENT_REPLY_S: Final = 600.0
CHUNK_BYTES: Final = 65_536

_LOST: Final = Reply(451, "4.4.2", "The connection broke before the server had answered")


@dataclass(frozen=True, slots=True)
class Target:
    """Where a server listens."""

    endpoint: Endpoint
    lmtp: bool = False

    def __str__(self) -> str:
        return str(self.endpoint)


class UnreachableError(Exception):
    """No server answers, or it will not talk; the text says what was tried. ``refused``: it answered with a permanent no."""

    def __init__(self, reason: str, *, refused: bool = False) -> None:
        super().__init__(reason)
        self.refused = refused


@dataclass(slots=True)
class Verdict:
    """What became of each recipient, in the order of the envelope; who was told nothing may try again."""

    replies: list[Reply]
    told: list[bool]

    @classmethod
    def of(cls, count: int) -> "Verdict":
        """Return the verdict before anything was said."""
        return cls([_LOST] * count, [False] * count)

    def take(self, event: ClientEvent) -> None:
        """Note what an event says about recipients."""
        match event:
            case RecipientReplied(index, reply) if not reply.is_positive:
                self._tell(index, reply)
            case MessageReplied(int(index), reply):
                self._tell(index, reply)
            case SenderReplied(reply) if not reply.is_positive:
                self._tell_all(reply)
            case MessageReplied(None, reply) | MessageImpossible(reply) | ServerViolation(_, Reply() as reply):
                self._tell_all(reply)
            case _:
                pass

    def _tell_all(self, reply: Reply) -> None:
        for index in range(len(self.replies)):
            self._tell(index, reply)

    def _tell(self, index: int, reply: Reply) -> None:
        """The first word about a recipient counts: what follows is about the others."""
        if not self.told[index]:
            self.replies[index], self.told[index] = reply, True


def connect(targets: Sequence[Target], *, patience_s: float = PATIENCE_S) -> tuple[socket.socket, Target]:
    """Return a connection to the first target that answers; all are tried again while ``patience_s`` lasts.

    Raises:   UnreachableError.
    """
    deadline = time.monotonic() + patience_s
    while True:
        failures: list[str] = []
        for target in targets:
            try:
                return _open(target.endpoint), target
            except OSError as error:
                failures.append(f"{target}: {error.strerror or error}")
        if time.monotonic() >= deadline:
            raise UnreachableError("; ".join(failures))
        time.sleep(RETRY_S)


def _open(endpoint: Endpoint) -> socket.socket:
    if not endpoint.path:
        return socket.create_connection((endpoint.host, endpoint.port), CONNECT_S)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(CONNECT_S)
        unixsockets.connect(sock, Path(endpoint.path))
    except OSError:
        sock.close()
        raise
    return sock


class Conversation:
    """One session with a server. Use it in a ``with`` block; ``open`` first."""

    def __init__(self, sock: socket.socket, target: Target, *, name: str) -> None:
        self._socket = sock
        self._target = target
        self._client = SmtpClient(name, lmtp=target.lmtp)
        self.server_name = ""
        """How the server calls itself, from its greeting."""

    def __enter__(self) -> "Conversation":
        return self

    def __exit__(self, *_: object) -> None:
        if self._client.is_idle:
            self._client.send_quit()
            # When the server is gone there is nobody to say it to.
            with contextlib.suppress(OSError):
                self._socket.sendall(self._client.data_to_send())
        self._socket.close()

    def open(self) -> None:
        """Say hello. Raises UnreachableError."""
        event = self._next(REPLY_S)
        if not isinstance(event, ServerGreeted):
            raise UnreachableError(f"{self._target} does not speak SMTP")
        if not event.reply.is_positive:
            raise UnreachableError(f"{self._target} says: {event.reply}", refused=not event.reply.is_temporary)
        self.server_name = event.reply.text.partition(" ")[0]
        self._client.send_hello()
        hello = self._next(REPLY_S)
        if not isinstance(hello, HelloReplied):
            raise UnreachableError(f"{self._target} closed the connection")
        if not hello.reply.is_positive:
            raise UnreachableError(f"{self._target} says: {hello.reply}", refused=not hello.reply.is_temporary)

    def ask(self, line: str) -> Reply:
        """Return the reply to a command of one line."""
        if not self._client.is_idle:
            return _LOST
        self._client.send_command(line)
        event = self._next(REPLY_S)
        return event.reply if isinstance(event, CommandReplied) else _LOST

    def send(self, envelope: Envelope, pieces: Callable[[], Iterator[bytes]], size: int) -> Verdict:
        """Send the message; ``pieces`` gives its content, with any line ends."""
        verdict = Verdict.of(len(envelope.recipients))
        if not self._client.is_idle:
            return verdict
        self._client.send_message(envelope, size=size)
        timeout_s = REPLY_S
        while True:
            event = self._next(timeout_s)
            verdict.take(event)
            match event:
                case MessageEnded() | ServerLost() | ServerViolation() | ClientClosed():
                    return verdict
                case ContentWanted():
                    if not self._stream(pieces()):
                        return verdict
                    timeout_s = CONTENT_REPLY_S
                case _:
                    pass

    def _stream(self, pieces: Iterator[bytes]) -> bool:
        """Send the content; False when the connection broke."""
        try:
            for piece in pieces:
                self._client.send_data_chunk(piece)
                self._socket.sendall(self._client.data_to_send())
        except OSError:
            return False
        self._client.finish_data()
        return True

    def _next(self, timeout_s: float) -> ClientEvent:
        """Return the next event; a broken connection ends the input."""
        self._socket.settimeout(timeout_s)
        while isinstance(event := self._client.next_event(), ClientNeedsData):
            try:
                if data := self._client.data_to_send():
                    self._socket.sendall(data)
                self._client.receive_data(self._socket.recv(CHUNK_BYTES))
            except OSError:
                self._client.receive_data(b"")
        return event
