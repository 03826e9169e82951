"""A readable copy of a protocol conversation without its passwords, for clients that ``log.transcript`` names.

Owns the redaction, for SMTP, POP3 and IMAP alike: from the line that begins a
login (AUTH, AUTHENTICATE, LOGIN, PASS), and from any continuation request (``334``,
``+``) on, everything the client sends is hidden until the server tells how the
login ended. That hides literals, SASL responses and whatever was pipelined
behind; hiding too much is the safe side.
Does not: keep more than the beginning of long lines and of bulk data.

Sources: RFC 4954 section 4, RFC 5034 section 4, RFC 9051 sections 6.2.2 and 6.2.3.
"""

import re
from collections.abc import Callable

__all__ = ["REDACTED", "Transcript"]

REDACTED = "<redacted>"
_LOGIN = re.compile(rb"\s*(?:AUTH|PASS|(?:(?P<tag>\S+)[ \t]+)?(?:AUTHENTICATE|LOGIN))(?=[ \t\r\n]|$)", re.IGNORECASE)
_CONTINUATION = re.compile(rb"334(?:[ -]|\r?$)|\+(?: |\r?$)")
_OUTCOME = re.compile(rb"(?:235|[45]\d\d|\+OK|-ERR|\* BYE|[^*+\s]\S* (?:OK|NO|BAD))(?=[ -]|\r?$)")
_LONGEST_LINE = 512
_LINES_AT_ONCE = 64


class Transcript:
    """One session's conversation; ``write`` gets the side (C or S) and a finished line without line end."""

    def __init__(self, write: Callable[[str, str], None]) -> None:
        self._write = write
        self._hiding = False
        self._outcome = _OUTCOME
        self._partial = {"C": b"", "S": b""}

    def received(self, data: bytes) -> None:
        """Take what the client sent."""
        for line in self._lines("C", data):
            if self._hiding:
                self._tell("C", REDACTED)
            elif login := _LOGIN.match(line):
                self._hide(login)
                self._tell("C", f"{_shown(login[0])} {REDACTED}")
            else:
                self._tell("C", _shown(line))

    def sent(self, data: bytes) -> None:
        """Take what the server sent."""
        for line in self._lines("S", data):
            if _CONTINUATION.match(line):
                self._hiding = True
                self._tell("S", f"{_shown(line[:3].strip())} {REDACTED}")
                continue
            if self._hiding and self._outcome.match(line):
                self._hiding = False
                self._outcome = _OUTCOME
            self._tell("S", _shown(line))

    def _hide(self, login: re.Match[bytes]) -> None:
        self._hiding = True
        tag = login["tag"]
        self._outcome = re.compile(re.escape(tag) + rb" (?:OK|NO|BAD)", re.IGNORECASE) if tag else _OUTCOME

    def _tell(self, side: str, text: str) -> None:
        self._write(side, text)

    def _lines(self, side: str, data: bytes) -> list[bytes]:
        """Return whole lines; the start of an unfinished one is kept, of bulk data the first lines are."""
        lines = (self._partial[side] + data).split(b"\n", _LINES_AT_ONCE)
        left = lines.pop()
        if len(lines) == _LINES_AT_ONCE:
            hidden = left.count(b"\n")
            # A login among lines that are not shown would go unnoticed: what follows is hidden then.
            login = next(filter(None, map(_LOGIN.match, left.split(b"\n"))), None) if side == "C" else None
            if login:
                self._hide(login)
            if hidden:
                lines.append(b"... %d more lines" % hidden)
            left = left.rpartition(b"\n")[2]
        self._partial[side] = left[:_LONGEST_LINE]
        return lines


def _shown(line: bytes) -> str:
    cut = line.rstrip(b"\r")
    text = cut[:_LONGEST_LINE].decode("utf-8", "backslashreplace")
    shown = text
    if not text.isprintable():
        shown = "".join([character if character.isprintable() else f"\\x{ord(character):02x}" for character in text])
    return shown + (f"... ({len(cut)} octets)" if len(cut) > _LONGEST_LINE else "")
