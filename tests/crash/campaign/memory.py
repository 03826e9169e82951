"""A message of 50 MiB on every way through the server: how much its memory grows at most, step by step."""

import socket
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from .load import Connection, send_message
from .mailboxes import imap_session
from .message import digest, make_message
from .server import Server, wait_until
from .sink import Sink

__all__ = ["LARGE", "run_memory"]

MIB = 1 << 20
LARGE = 50 * MIB - 65_536
_SMALL = 2_000
_SETTLING_S = 1.5
_FETCHED = ("BODY.PEEK[]", "BODY.PEEK[TEXT]", "BODY.PEEK[]<1000.5000000>", "BODYSTRUCTURE", "RFC822.SIZE ENVELOPE")
_SEARCH_KIB = 24_576
"""A search in texts takes up to 4 MiB of one message at a time, as it is, decoded and in small letters."""
_USERS = (("ana", "maildir"), ("bob", "mbox"))


def run_memory(directory: Path, *, limit_kib: int = 8_192, size: int = LARGE) -> list[str]:
    """Take each way with a small message first, as code and buffers come with the first use; then with a large one. Return the faults."""
    sink = Sink(1, moods=0.0)
    server = Server(directory, sink.port)
    server.start()
    faults: list[str] = []
    try:
        for _, step in _steps(server, _SMALL, "small"):
            step()
        time.sleep(_SETTLING_S)
        print(f"  resident after a small message on every way: {server.memory_kib()} KiB")
        for name, step in _steps(server, size, "large"):
            server.forget_peak()
            before = server.memory_kib()
            began = time.monotonic()
            step()
            took_s = time.monotonic() - began
            if name.startswith(("DATA", "BDAT")):
                time.sleep(_SETTLING_S)
            grown = server.memory_kib("VmHWM") - before
            print(
                f"  {name:<38} {before:7} KiB, at most {grown:+7} KiB, then {server.memory_kib() - before:+7} KiB, {took_s:5.1f} s",
                flush=True,
            )
            if grown > (_SEARCH_KIB if name.startswith("SEARCH") else limit_kib):
                faults.append(f"{name}: {grown} KiB more than before")
    finally:
        server.stop()
        sink.close()
    return faults


def _steps(server: Server, size: int, token: str) -> list[tuple[str, Callable[[], None]]]:
    message = make_message(token, size)
    steps: list[tuple[str, Callable[[], None]]] = []

    def send(recipient: str, *, bdat: bool) -> None:
        with Connection(server.ports["smtp"]) as connection:
            send_message(connection, [recipient], message, bdat=bdat)
        wait_until(lambda: not server.queued(), lambda: f"delivery to {recipient}\n{server.log_end}")

    for user, kind in _USERS:
        steps.append((f"DATA to {kind}", partial(send, f"{user}@office.test", bdat=False)))
        steps.append((f"BDAT to {kind}", partial(send, f"{user}@office.test", bdat=True)))
    steps.append(("relay", partial(send, "r1@relay.test", bdat=False)))
    for user, kind in _USERS:
        steps += [(f"FETCH {what} {kind}", partial(_fetch, server, user, what, message)) for what in _FETCHED]
        steps.append((f"SEARCH TEXT {kind}", partial(_search, server, user)))
        steps.append((f"APPEND {kind}", partial(_append, server, user, message)))
        steps.append((f"COPY {kind}", partial(_copy, server, user)))
        steps.append((f"RETR {kind}", partial(_retrieve, server, user, b"RETR", message)))
        steps.append((f"TOP 1000 {kind}", partial(_retrieve, server, user, b"TOP", message)))
        steps.append((f"STORE {kind}", partial(_store, server, user)))
        steps.append((f"EXPUNGE the first of {kind}", partial(_expunge, server, user)))
    return steps


def _fetch(server: Server, user: str, what: str, message: bytes) -> None:
    with imap_session(server, user) as client:
        client.select("INBOX", readonly=True)
        kind, parts = client.fetch("*", f"({what})")
        assert kind == "OK", parts
        if what == "BODY.PEEK[]":
            part = parts[0]
            assert isinstance(part, tuple)
            assert digest(part[1]) == digest(message)


def _search(server: Server, user: str) -> None:
    with imap_session(server, user) as client:
        client.select("INBOX", readonly=True)
        assert client.search(None, "TEXT", '"words that stand nowhere"')[0] == "OK"


def _append(server: Server, user: str, message: bytes) -> None:
    with imap_session(server, user) as client:
        assert client.append("INBOX", "", "", message)[0] == "OK"


def _copy(server: Server, user: str) -> None:
    with imap_session(server, user) as client:
        client.create("Copies")
        client.select("INBOX")
        assert client.copy("*", "Copies")[0] == "OK"


def _store(server: Server, user: str) -> None:
    with imap_session(server, user) as client:
        client.select("INBOX")
        assert client.store("1", "+FLAGS", "(\\Flagged first second third)")[0] == "OK"


def _expunge(server: Server, user: str) -> None:
    with imap_session(server, user) as client:
        client.select("INBOX")
        client.store("1", "+FLAGS.SILENT", "(\\Deleted)")
        assert client.expunge()[0] == "OK"


def _retrieve(server: Server, user: str, verb: bytes, message: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.ports["pop3"]), 60) as client, client.makefile("rb") as lines:
        lines.readline()
        for command in (b"USER " + user.encode(), b"PASS " + user.encode() + b"-secret", b"STAT"):
            client.sendall(command + b"\r\n")
            answer = lines.readline()
            assert answer.startswith(b"+OK"), answer
        client.sendall(b"%s %s%s\r\n" % (verb, answer.split()[1], b" 1000" if verb == b"TOP" else b""))
        assert lines.readline().startswith(b"+OK")
        received = []
        while (line := lines.readline()) != b".\r\n":
            assert line, "the server hung up"
            received.append(line[1:] if line.startswith(b".") else line)
        assert verb == b"TOP" or digest(b"".join(received)) == digest(message)
        client.sendall(b"QUIT\r\n")
        lines.readline()
