"""What was said in each SMTP session, with times, for the message that it brought.

Owns the pieces of the sessions that are open now. A message's content is counted,
not kept; what is kept is bounded. Passwords never leave this module: what is told
has gone through ``observe.transcript``.

Sources: RFC 5321 section 4 (354 begins the content, the next reply ends it).
"""

import json
from collections import deque
from collections.abc import Callable
from typing import Final

import trio

from appliance.model.ids import SessionId
from appliance.observe.transcript import Transcript

__all__ = ["Conversations", "Tape"]

_MOST_PIECES: Final = 200
_LONGEST_PIECE: Final = 2_048
_Piece = tuple[float, str, bytes]


class Tape(Transcript):
    """One session's words as they go over the connection."""

    def __init__(self) -> None:
        super().__init__(lambda _side, _line: None)
        self.pieces: deque[_Piece] = deque(maxlen=_MOST_PIECES)
        self._content = -1
        """Octets of content so far; negative outside of it."""

    def received(self, data: bytes) -> None:
        """Take what the client sent."""
        if self._content >= 0:
            self._content += len(data)
        else:
            self.pieces.append((trio.current_time(), "C", data[:_LONGEST_PIECE]))

    def sent(self, data: bytes) -> None:
        """Take what the server sent."""
        self.pieces.extend(self.counted())
        self.pieces.append((trio.current_time(), "S", data[:_LONGEST_PIECE]))
        if data.startswith(b"354") or b"\r\n354" in data:
            self._content = 0

    def counted(self) -> list[_Piece]:
        """End the content, if there is one, and return the remark about it."""
        if self._content < 0:
            return []
        remark = b"%d octets of content\r\n" % self._content
        self._content = -1
        return [(trio.current_time(), "-", remark)]


class Conversations:
    """The sessions that are open now."""

    def __init__(self) -> None:
        self._tapes: dict[SessionId, Tape] = {}

    def begin(self, session_id: SessionId) -> Tape:
        tape = self._tapes[session_id] = Tape()
        return tape

    def end(self, session_id: SessionId) -> None:
        self._tapes.pop(session_id, None)

    def take(self, session_id: SessionId) -> Callable[[], str]:
        """Return what makes JSON of the words since the last call: lists of seconds, side (C, S, or - for a remark) and line."""
        tape = self._tapes.get(session_id)
        if tape is None:
            return lambda: ""
        pieces = [*tape.pieces, *tape.counted()]
        tape.pieces.clear()
        return lambda: _told(pieces)


def _told(pieces: list[_Piece]) -> str:
    lines: list[tuple[float, str, str]] = []
    at = begin = pieces[0][0] if pieces else 0.0
    transcript = Transcript(lambda side, line: lines.append((round(at - begin, 6), side, line)))
    for at, side, data in pieces:
        if side == "-":
            lines.append((round(at - begin, 6), side, data.decode("ascii").strip()))
        elif side == "C":
            transcript.received(data if data.endswith(b"\n") else data + b"\r\n")
        else:
            transcript.sent(data if data.endswith(b"\n") else data + b"\r\n")
    return json.dumps(lines, ensure_ascii=False)
