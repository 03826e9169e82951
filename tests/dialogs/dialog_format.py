r"""Dialogues as text files: what a client sends and what a server must answer, line by line.

One file is one session. Its lines:

    # text        a comment; the first one says what the dialogue shows
    @ name = v    a setting of the server, TOML; all of them before the first step
    C: text       the client sends the text and CRLF
    C| text       the client sends exactly this; ``\r \n \t \0 \\ \xNN`` are escapes
    C$            the client ends its side of the connection
    S: text       the server sends exactly this line
    S~ regex      the server sends a line that the regular expression matches whole
    S* regex      the server sends any number of lines that match, none included
    S$            the server closes the connection
    O: text       another session sends this command and has its answer; IMAP: with INBOX selected
    T             both sides begin TLS now
    Z             both sides begin DEFLATE now
    E: Name       (cores only) an event of this name has been told since the last ``E:``

C lines that follow each other are sent in one write, so they are pipelined. A
runner may cut them anywhere unless ``@ whole = true``: then what arrives
together matters.

``parse`` knows nothing of SMTP, IMAP or POP3, nor of how a session is run: over
a core, over memory streams, over TCP. What the server is (settings allowed, who
exists, passwords) is each runner's matter; tests/protocols/smtp/conftest.py
says what SMTP dialogues assume.
"""

import re
import tomllib
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Dialog", "Step", "parse"]

Kind = Literal["send", "client_ends", "line", "match", "many", "server_ends", "tls", "deflate", "event", "other"]

_KINDS: dict[str, Kind] = {
    "C$": "client_ends",
    "S:": "line",
    "S~": "match",
    "S*": "many",
    "S$": "server_ends",
    "T": "tls",
    "Z": "deflate",
    "E:": "event",
}
_ESCAPE = re.compile(rb"\\(?:([rnt0\\])|x([0-9a-fA-F]{2}))")
_SINGLE = {b"r": b"\r", b"n": b"\n", b"t": b"\t", b"0": b"\0", b"\\": b"\\"}


@dataclass(frozen=True, slots=True)
class Step:
    """``data`` to send, or ``text`` to expect. ``line`` is where it stands in the file."""

    kind: Kind
    line: int
    text: str = ""
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class Dialog:
    settings: dict[str, Any]
    steps: tuple[Step, ...]


def parse(text: str) -> Dialog:
    """Parse a dialogue. Raises ValueError with the line number."""
    settings: list[str] = []
    steps: list[Step] = []
    for number, line in enumerate(text.splitlines(), 1):
        mark, rest = line[:2].rstrip(), line[3:]
        if not line.strip() or mark.startswith("#"):
            continue
        if mark == "@":
            settings.append(line[2:])
        elif mark in {"C:", "C|"}:
            data = rest.encode() + b"\r\n" if mark == "C:" else _ESCAPE.sub(_unescaped, rest.encode())
            if steps and steps[-1].kind == "send":
                last = steps.pop()
                steps.append(Step("send", last.line, data=last.data + data))
            else:
                steps.append(Step("send", number, data=data))
        elif mark == "O:":
            steps.append(Step("other", number, data=rest.encode()))
        elif mark in _KINDS:
            steps.append(Step(_KINDS[mark], number, text=rest))
        else:
            raise ValueError(f"line {number}: what is {line!r}?")
    return Dialog(tomllib.loads("\n".join(settings)), tuple(steps))


def _unescaped(match: "re.Match[bytes]") -> bytes:
    return _SINGLE[match[1]] if match[1] else bytes.fromhex(match[2].decode())
