"""A small IMAP client that hides nothing: what a server said, parsed and otherwise untouched.

``imaplib`` folds what tells two servers apart; here literals and quoted strings become bytes, lists become
lists, NIL becomes None and everything else stays an ``Atom``.
"""

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Atom", "Item", "Wire", "logged_in", "read_items"]


class Atom(bytes):
    """A word that was neither quoted nor a literal: flags, numbers, item names."""


Item = bytes | None | list["Item"]

_LITERAL = re.compile(rb"~?\{(\d+)\}\r\n\Z")
_TOKEN = re.compile(
    rb'"((?:[^"\\\r\n]|\\.)*)"|~?\{(\d+)\}\r\n|([()])|((?:BINARY|BODY)(?:\.SIZE|\.PEEK)?\[[^\]]*\](?:<\d+>)?)|([^ ()"{\r\n]+)| +', re.DOTALL
)


def read_items(data: bytes) -> list[Item]:
    """Return the values in a response line whose literals stand inline."""
    stack: list[list[Item]] = [[]]
    position = 0
    while position < len(data):
        match = _TOKEN.match(data, position)
        assert match is not None, f"at {position}: {data[position : position + 60]!r} in {data[:200]!r}"
        position = match.end()
        quoted, length, bracket, section, atom = match.groups()
        if quoted is not None:
            stack[-1].append(re.sub(rb"\\(.)", rb"\1", quoted, flags=re.DOTALL))
        elif length is not None:
            stack[-1].append(data[position : position + int(length)])
            position += int(length)
        elif bracket == b"(":
            stack.append([])
        elif bracket == b")":
            closed = stack.pop()
            stack[-1].append(closed)
        elif section is not None:
            stack[-1].append(Atom(section))
        elif atom is not None:
            stack[-1].append(None if atom.upper() == b"NIL" else Atom(atom))
    assert len(stack) == 1, f"parentheses do not match in {data[:200]!r}"
    return stack[0]


class Wire:
    """One connection; ``command`` returns the untagged responses and the tagged one."""

    def __init__(self, port: int, patience_s: float = 60.0) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=patience_s)
        self._file = self._socket.makefile("rb")
        self._number = 0
        self.greeting = self._read()

    def close(self) -> None:
        self._file.close()
        self._socket.close()

    def _read(self) -> bytes:
        """Return one response without its line end, literals inline."""
        whole = b""
        while True:
            line = self._file.readline()
            assert line, f"the server is gone after {whole[-200:]!r}"
            whole += line
            literal = _LITERAL.search(line)
            if literal is None:
                return whole.removesuffix(b"\r\n")
            whole += self._file.read(int(literal[1]))

    def command(self, text: bytes) -> tuple[list[bytes], bytes]:
        """Send a command, literals in it non-synchronising; return untagged responses and the tagged one without its tag."""
        self._number += 1
        tag = b"w%d" % self._number
        self._socket.sendall(tag + b" " + text + b"\r\n")
        untagged: list[bytes] = []
        while True:
            response = self._read()
            if response.startswith(tag + b" "):
                return untagged, response[len(tag) + 1 :]
            untagged.append(response)

    def ok(self, text: bytes) -> list[bytes]:
        """The same, for what must succeed."""
        untagged, tagged = self.command(text)
        assert tagged.startswith(b"OK"), (text[:200], tagged)
        return untagged

    def append(self, mailbox: bytes, data: bytes, before: bytes = b"") -> bytes:
        """Append a message; return the tagged response."""
        return self.command(b"APPEND %b %b{%d+}\r\n%b" % (mailbox, before, len(data), data))[1]

    def fetch(self, messages: bytes, items: bytes) -> dict[int, dict[bytes, Item]]:
        """Return what a FETCH that must succeed says of each message, by sequence number."""
        found: dict[int, dict[bytes, Item]] = {}
        for response in self.ok(b"FETCH %b (%b)" % (messages, items)):
            words = response.split(b" ", 3)
            if len(words) == 4 and words[2] == b"FETCH":
                (values,) = read_items(words[3])
                assert isinstance(values, list)
                names = [bytes(name or b"") if not isinstance(name, list) else b"" for name in values[::2]]
                found.setdefault(int(words[1]), {}).update(zip(names, values[1::2], strict=True))
        return found


@contextmanager
def logged_in(port: int, user: str = "ana", password: str = "ana-secret") -> Iterator[Wire]:
    """Open a connection, log in, and close it at the end."""
    wire = Wire(port)
    try:
        wire.ok(f"LOGIN {user} {password}".encode())
        yield wire
    finally:
        wire.close()
