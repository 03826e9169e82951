"""Clients over raw sockets: each sends message after message and notes what it was told, to the byte."""

import random
import socket
import threading
import time
from collections.abc import Callable, Sequence

from .ledger import Ledger, Promise
from .message import make_message
from .server import USERS

__all__ = ["Connection", "Load", "RefusedError", "send_message"]

KIB = 1_024


class RefusedError(Exception):
    """The server said no, in so many words."""


class Connection:
    """One SMTP session."""

    def __init__(self, port: int, timeout_s: float = 60.0) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._lines = self.socket.makefile("rb")
        self.read()
        self.socket.sendall(b"EHLO client.test\r\n")
        self.read()

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._lines.close()
        self.socket.close()

    def read(self) -> bytes:
        """Return one reply, its last line. Raises ConnectionError, RefusedError."""
        while True:
            line = self._lines.readline()
            if not line.endswith(b"\r\n"):
                raise ConnectionError("the server went away")
            if line[3:4] == b" ":
                break
        if line[0] not in b"23":
            raise RefusedError(line.decode().strip())
        return line

    def read_all(self, count: int) -> None:
        """Read replies to pipelined commands. Raises RefusedError for the first refusal, after all were read."""
        refused: RefusedError | None = None
        for _ in range(count):
            try:
                self.read()
            except RefusedError as error:
                refused = refused or error
        if refused is not None:
            raise refused


def send_message(connection: Connection, recipients: Sequence[str], message: bytes, *, bdat: bool = False) -> None:
    """Send one message and return when it was acknowledged. Raises RefusedError, OSError."""
    head = b"MAIL FROM:<load@client.test>\r\n" + b"".join(b"RCPT TO:<%s>\r\n" % address.encode() for address in recipients)
    try:
        if bdat:
            chunks = [message[start : start + 65_536] for start in range(0, len(message), 65_536)]
            connection.socket.sendall(head)
            connection.read_all(1 + len(recipients))
            for number, chunk in enumerate(chunks, 1):
                connection.socket.sendall(b"BDAT %d%s\r\n" % (len(chunk), b" LAST" * (number == len(chunks))))
                connection.socket.sendall(chunk)
                connection.read()
            return
        connection.socket.sendall(head + b"DATA\r\n")
        connection.read_all(2 + len(recipients))
        stuffed = (b"\r\n" + message).replace(b"\r\n.", b"\r\n..")[2:]
        connection.socket.sendall(stuffed + b".\r\n")
        connection.read()
    except RefusedError:
        connection.socket.sendall(b"RSET\r\n")
        connection.read()
        raise


class Load:
    """So many threads that send until stopped. The server may die and come back at any time."""

    def __init__(self, ledger: Ledger, port: Callable[[], int], *, clients: int, seed: int, pause_s: float, name: str) -> None:
        self._ledger = ledger
        self._port = port
        self._pause_s = pause_s
        self._stopping = threading.Event()
        self._chances = [random.Random(f"{seed} {name} {number}") for number in range(clients)]
        self._threads = [
            threading.Thread(target=self._run, args=(chance, f"{name}-{number}"), daemon=True)
            for number, chance in enumerate(self._chances)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Return when nobody sends any more."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _run(self, chance: random.Random, name: str) -> None:
        count = 0
        while not self._stopping.is_set():
            try:
                with Connection(self._port()) as connection:
                    while not self._stopping.is_set():
                        count += 1
                        self._send(connection, chance, f"{name}-{count}")
                        time.sleep(chance.random() * self._pause_s)
            except (OSError, RefusedError):
                time.sleep(0.02)

    def _send(self, connection: Connection, chance: random.Random, token: str) -> None:
        size = chance.choices((chance.randint(1, 8), chance.randint(8, 64), chance.randint(64, 200), 1_500), (60, 25, 14, 1))[0] * KIB
        kind = chance.random()
        local = tuple(sorted(chance.sample(USERS, chance.randint(1, 2)))) if kind < 0.75 else ()
        remote = tuple(f"r{number}@relay.test" for number in sorted(chance.sample(range(5), chance.randint(1, 3)))) if kind > 0.5 else ()
        promise = Promise(token, size, local, remote)
        message = make_message(token, size)
        self._ledger.sending(promise)
        try:
            send_message(connection, [*(f"{user}@office.test" for user in local), *remote], message, bdat=chance.random() < 0.3)
            promise.is_acknowledged = True
        except RefusedError as error:
            promise.refusal = str(error)
        finally:
            promise.at_s = time.monotonic()
