"""Closed-loop SMTP load, and the sink behind a relay.

Owns raw sockets in a few forked processes: each connection waits for its reply before it goes on. With
``pipelining``, MAIL, RCPT and DATA go in one segment where the server offers PIPELINING.
"""

import mmap
import selectors
import socket
import statistics
import struct
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from .processes import end, fork, forked, wait_for

__all__ = ["Load", "Result", "Sink", "run_load"]

MAX_WORKERS = 4
LARGE = 1_048_576
LINE = b"the quick brown fox jumps over the lazy dog, and then it does so once more.\r\n"
_SINK_REPLIES: Final = {
    b"EHLO": b"250-sink.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES\r\n",
    b"DATA": b"354 Go on\r\n",
    b"QUIT": b"221 2.0.0 Bye\r\n",
}
Dialogue = Generator[None, tuple[int, bytes], None]


@dataclass(frozen=True)
class Load:
    """What to send. ``recipient``: a format with the number of the message, modulo ``recipients``. ``per_connection`` 0: all."""

    port: int
    connections: int
    messages: int
    size: int
    recipient: str
    recipients: int = 10
    per_connection: int = 0
    pipelining: bool = True
    sender: str = "load@bench.test"
    contents: Sequence[bytes] = ()
    """Messages to take turns with, in place of ones made from ``size``."""
    source: str = ""
    """The address to come from."""


@dataclass
class Result:
    """What was accepted; latencies from MAIL to the reply at the end, in milliseconds."""

    accepted: int
    wall_s: float
    pipelined: bool
    p50_ms: float
    p99_ms: float


@dataclass
class _Worker:
    load: Load
    number: int
    todo: int
    accepted: int = 0
    serial: int = 0
    pipelined: bool = False
    latencies_s: list[float] = field(default_factory=list)

    def message(self) -> tuple[str, bytes]:
        """Return the next recipient and content with its dot."""
        self.serial += 1
        key = self.serial * MAX_WORKERS + self.number
        to = self.load.recipient % (key % self.load.recipients)
        if self.load.contents:
            return to, self.load.contents[key % len(self.load.contents)] + b".\r\n"
        header = (
            f"From: Load <load@bench.test>\r\nTo: <{to}>\r\nSubject: message {key}\r\nMessage-ID: <{key}.{self.number}@load.test>\r\n"
            "Date: Tue, 14 Nov 2023 22:13:20 +0000\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n"
        ).encode()
        lines = max(1, (self.load.size - len(header)) // len(LINE))
        return to, header + LINE * lines + b".\r\n"


def _dialogue(worker: _Worker, sock: socket.socket) -> Dialogue:
    """Speak to the server; each ``yield`` waits for one reply. Sending blocks, which closed loops allow."""

    def expect(reply: tuple[int, bytes], *codes: int) -> bytes:
        if reply[0] not in codes:
            raise RuntimeError(f"unexpected reply: {reply[1]!r}")
        return reply[1]

    expect((yield), 220)
    sock.sendall(b"EHLO load.test\r\n")
    offer = expect((yield), 250).upper()
    pipelined = worker.load.pipelining and b"PIPELINING" in offer
    worker.pipelined |= pipelined
    left = worker.load.per_connection or -1
    while worker.todo and left:
        worker.todo -= 1
        left -= 1
        to, content = worker.message()
        steps = [f"MAIL FROM:<{worker.load.sender}>\r\n".encode(), f"RCPT TO:<{to}>\r\n".encode(), b"DATA\r\n"]
        start_s = time.monotonic()
        if pipelined:
            sock.sendall(b"".join(steps))
        for step, code in zip(steps, (250, 250, 354), strict=True):
            if not pipelined:
                sock.sendall(step)
            expect((yield), code)
        sock.sendall(content)
        expect((yield), 250)
        worker.accepted += 1
        worker.latencies_s.append(time.monotonic() - start_s)
    sock.sendall(b"QUIT\r\n")
    expect((yield), 221)


def _replies(buffer: bytearray) -> Generator[tuple[int, bytes], None, None]:
    """Take whole replies off the buffer."""
    start = at = 0
    while (eol := buffer.find(b"\n", at)) >= 0:
        if buffer[at + 3 : at + 4] != b"-":
            yield int(buffer[at : at + 3]), bytes(buffer[start : eol + 1])
            start = eol + 1
        at = eol + 1
    del buffer[:start]


def _work(load: Load, number: int, connections: int, messages: int) -> dict[str, Any]:
    worker = _Worker(load, number, messages)
    selector = selectors.DefaultSelector()

    def connect() -> None:
        sock = socket.create_connection(("127.0.0.1", load.port), source_address=(load.source, 0) if load.source else None)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        dialogue = _dialogue(worker, sock)
        next(dialogue)
        selector.register(sock, selectors.EVENT_READ, (dialogue, bytearray()))

    for _ in range(connections):
        connect()
    while selector.get_map():
        for key, _ in selector.select(60):
            sock, (dialogue, buffer) = key.fileobj, key.data
            assert isinstance(sock, socket.socket)
            data = sock.recv(65_536)
            buffer += data
            try:
                if not data:
                    raise RuntimeError("the server closed the connection")
                for reply in _replies(buffer):
                    dialogue.send(reply)
            except StopIteration:
                selector.unregister(sock)
                sock.close()
                if worker.todo:
                    connect()
    return {"accepted": worker.accepted, "pipelined": worker.pipelined, "latencies_s": worker.latencies_s}


def run_load(load: Load) -> Result:
    """Send everything; return when all was answered. Raises RuntimeError when anything was refused."""
    workers = min(load.connections, MAX_WORKERS)
    bodies: list[Callable[[], Any]] = [
        partial(_work, load, number, _share(load.connections, workers, number), _share(load.messages, workers, number))
        for number in range(workers)
    ]
    start_s = time.monotonic()
    results = forked(bodies)
    wall_s = time.monotonic() - start_s
    accepted = sum(result["accepted"] for result in results)
    if accepted != load.messages:
        raise RuntimeError(f"{accepted} of {load.messages} accepted")
    latencies = sorted(latency * 1e3 for result in results for latency in result["latencies_s"])
    p99 = latencies[int((len(latencies) - 1) * 0.99)]
    return Result(accepted, wall_s, any(result["pipelined"] for result in results), statistics.median(latencies), p99)


def _share(total: int, workers: int, number: int) -> int:
    return total // workers + (number < total % workers)


class Sink:
    """A server that takes everything and counts it, in a process of its own. Offers PIPELINING."""

    def __init__(self, port: int) -> None:
        self._shared = mmap.mmap(-1, 24)
        listener = socket.create_server(("127.0.0.1", port), backlog=256)
        self._pid = fork(partial(self._serve, listener))
        listener.close()

    @property
    def count(self) -> int:
        return int(struct.unpack_from("Q", self._shared, 0)[0])

    @property
    def last_s(self) -> float:
        """When the last one came, on the monotonic clock."""
        return float(struct.unpack_from("d", self._shared, 8)[0])

    @property
    def signatures(self) -> int:
        """How many DKIM signatures have come, but for those cut by the end of a segment."""
        return int(struct.unpack_from("Q", self._shared, 16)[0])

    def wait(self, count: int) -> None:
        wait_for(lambda: self.count >= count, f"{count} messages at the sink")

    def close(self) -> None:
        end(self._pid)

    def _serve(self, listener: socket.socket) -> None:
        selector = selectors.DefaultSelector()
        selector.register(listener, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                sock = key.fileobj
                assert isinstance(sock, socket.socket)
                if key.data is None:
                    client, _address = listener.accept()
                    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    client.sendall(b"220 sink.test ESMTP\r\n")
                    selector.register(client, selectors.EVENT_READ, _SinkSession())
                    continue
                try:
                    data = sock.recv(262_144)
                    if data:
                        struct.pack_into("Q", self._shared, 16, self.signatures + data.count(b"DKIM-Signature:"))
                        sock.sendall(self._answer(key.data, data))
                        continue
                except OSError:
                    data = b""
                selector.unregister(sock)
                sock.close()

    def _answer(self, session: "_SinkSession", data: bytes) -> bytes:
        session.buffer += data
        out = []
        while True:
            if session.in_content:
                at = session.buffer.find(b"\r\n.\r\n")
                if at < 0:
                    # Keep what may be the beginning of the end.
                    del session.buffer[:-4]
                    break
                del session.buffer[: at + 5]
                session.in_content = False
                count = self.count + 1
                struct.pack_into("Qd", self._shared, 0, count, time.monotonic())
                out.append(b"250 2.0.0 Taken %d\r\n" % count)
                continue
            line, eol, rest = session.buffer.partition(b"\r\n")
            if not eol:
                break
            session.buffer = rest
            verb = bytes(line[:4].upper())
            session.in_content = verb == b"DATA"
            out.append(_SINK_REPLIES.get(verb, b"250 2.0.0 Ok\r\n"))
        return b"".join(out)


@dataclass(slots=True)
class _SinkSession:
    buffer: bytearray = field(default_factory=bytearray)
    in_content: bool = False
