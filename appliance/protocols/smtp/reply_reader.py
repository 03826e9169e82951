"""Replies as they come from a server: lines to a ``Reply``, with limits.

Lenient where servers are: bare LF line ends, a code with no text after it, codes
that differ between the lines of one reply (the last counts).

Fails: ReplyError for what is no reply, or too much of one.
Sources: RFC 5321 section 4.2.1 (multi-line), section 4.5.3.1.5 (512 octets; real
servers write more), RFC 2034 section 4 (enhanced code on each line).
"""

import re

from appliance.protocols.lines import LineBuffer, LineTooLongError
from appliance.protocols.smtp.replies import Reply

__all__ = ["ReplyError", "ReplyReader"]

MAX_LINE = 4_096
MAX_LINES = 128

_LINE = re.compile(rb"([2-5][0-9][0-9])(?:([ -])(.*))?", re.DOTALL)
_ENHANCED = re.compile(r"([245]\.[0-9]{1,3}\.[0-9]{1,3})(?:\s+|$)")


class ReplyError(Exception):
    """The server does not speak SMTP."""


class ReplyReader:
    """Takes bytes, gives whole replies."""

    __slots__ = ("_buffer", "_lines")

    def __init__(self) -> None:
        self._buffer = LineBuffer(lf_ends_line=True)
        self._lines: list[str] = []

    def __bool__(self) -> bool:
        """True when octets or lines wait."""
        return bool(self._buffer) or bool(self._lines)

    def receive_data(self, data: bytes) -> None:
        self._buffer.append(data)

    def clear(self) -> None:
        self._buffer.clear()
        self._lines.clear()

    def take_reply(self) -> Reply | None:
        """Return the next whole reply, or None. Raises ReplyError."""
        while True:
            try:
                line = self._buffer.take_line(MAX_LINE)
            except LineTooLongError:
                raise ReplyError("a reply line is too long") from None
            if line is None:
                return None
            match = _LINE.fullmatch(line)
            if not match:
                raise ReplyError(f"not a reply: {line[:80]!r}")
            self._lines.append((match[3] or b"").decode("utf-8", "replace"))
            if match[2] != b"-":
                lines, self._lines = self._lines, []
                return _reply(int(match[1]), lines)
            if len(self._lines) >= MAX_LINES:
                raise ReplyError("a reply has too many lines")


def _reply(code: int, lines: list[str]) -> Reply:
    enhanced = _ENHANCED.match(lines[-1])
    if enhanced is None or int(enhanced[1][0]) != code // 100:
        return Reply(code, "", *lines)
    # The code stands on each line; where some line has it not, that line is left alone.
    return Reply(code, enhanced[1], *[line[found.end() :] if (found := _ENHANCED.match(line)) else line for line in lines])
