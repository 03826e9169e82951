"""What was said in each SMTP session, with times, for the message that it brought.

Owns the pieces of the sessions that are open now, and of the last that ended, for
who watches. A message's content is counted, not kept; what is kept is bounded. Passwords never leave this module: what is told
has gone through ``observe.transcript``.

Sources: RFC 5321 section 4 (354 begins the content, the next reply ends it).
"""

import json
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import trio

from appliance.model.ids import SessionId
from appliance.observe.transcript import Transcript

__all__ = ["Conversations", "Session", "Tape"]

_MOST_PIECES: Final = 200
_LONGEST_PIECE: Final = 2_048
_MOST_WATCHED: Final = 80
"""Pieces of a session that stay for who watches, after a message took them along."""
_MOST_ENDED: Final = 12
_MOST_SHOWN: Final = 60
_Piece = tuple[float, str, bytes]


@dataclass(frozen=True, slots=True)
class Session:
    """One session as it is watched. ``lines``: seconds since its begin, side, words."""

    id: str
    client: str
    age_s: float
    is_open: bool
    lines: Sequence[tuple[float, str, str]]


class Tape(Transcript):
    """One session's words as they go over the connection."""

    def __init__(self, client: str = "", changed: Callable[[], None] = lambda: None) -> None:
        super().__init__(lambda _side, _line: None)
        self.client = client
        self.begun_s = trio.current_time()
        self.pieces: deque[_Piece] = deque(maxlen=_MOST_PIECES)
        self.taken: deque[_Piece] = deque(maxlen=_MOST_WATCHED)
        """Pieces that went with a message already."""
        self._changed = changed
        self._content = -1
        """Octets of content so far; negative outside of it."""

    def received(self, data: bytes) -> None:
        """Take what the client sent."""
        if self._content >= 0:
            self._content += len(data)
        else:
            self.pieces.append((trio.current_time(), "C", data[:_LONGEST_PIECE]))
            self._changed()

    def sent(self, data: bytes) -> None:
        """Take what the server sent."""
        if self._content >= 0:
            self.pieces.extend(self.counted())
        self.pieces.append((trio.current_time(), "S", data[:_LONGEST_PIECE]))
        if data.startswith(b"354") or b"\r\n354" in data:
            self._content = 0
        self._changed()

    def counted(self) -> list[_Piece]:
        """End the content, if there is one, and return the remark about it."""
        if self._content < 0:
            return []
        remark = b"%d octets of content\r\n" % self._content
        self._content = -1
        return [(trio.current_time(), "-", remark)]


class Conversations:
    """The sessions that are open now, and the last that ended."""

    def __init__(self) -> None:
        self._tapes: dict[SessionId, Tape] = {}
        self._ended: deque[tuple[SessionId, Tape]] = deque(maxlen=_MOST_ENDED)
        self.said = 0
        """Rises with everything that is said."""
        self.heard = trio.lowlevel.ParkingLot()
        """Where who watches waits for it."""

    def begin(self, session_id: SessionId, client: str = "") -> Tape:
        tape = self._tapes[session_id] = Tape(client, self._tell)
        self._tell()
        return tape

    def end(self, session_id: SessionId) -> None:
        tape = self._tapes.pop(session_id, None)
        if tape is not None:
            self._ended.append((session_id, tape))
            self._tell()

    def _tell(self) -> None:
        self.said += 1
        if self.heard:
            self.heard.unpark_all()

    def take(self, session_id: SessionId) -> Callable[[], str]:
        """Return what makes JSON of the words since the last call: lists of seconds, side (C, S, or - for a remark) and line."""
        tape = self._tapes.get(session_id)
        if tape is None:
            return lambda: ""
        pieces = [*tape.pieces, *tape.counted()]
        tape.pieces.clear()
        tape.taken.extend(pieces)
        return lambda: json.dumps(_lines(pieces), ensure_ascii=False)

    def sessions(self) -> list[Session]:
        """Return what is said now and was said last, the newest session first."""
        now = trio.current_time()
        known = [(session_id, tape, False) for session_id, tape in self._ended]
        known += [(session_id, tape, True) for session_id, tape in self._tapes.items()]
        found = []
        for session_id, tape, is_open in reversed(known[-_MOST_SHOWN:]):
            lines = _lines([*tape.taken, *tape.pieces], tape.begun_s)
            found.append(Session(session_id, tape.client, now - tape.begun_s, is_open, lines[-_MOST_WATCHED:]))
        return found


def _lines(pieces: Sequence[_Piece], begun_s: float | None = None) -> list[tuple[float, str, str]]:
    """Return the lines of pieces, without passwords; times count from ``begun_s``, else from the first piece."""
    lines: list[tuple[float, str, str]] = []
    begin = begun_s if begun_s is not None else pieces[0][0] if pieces else 0.0
    at = begin
    transcript = Transcript(lambda side, line: lines.append((round(at - begin, 6), side, line)))
    for at, side, data in pieces:
        if side == "-":
            lines.append((round(at - begin, 6), side, data.decode("ascii").strip()))
        elif side == "C":
            transcript.received(data if data.endswith(b"\n") else data + b"\r\n")
        else:
            transcript.sent(data if data.endswith(b"\n") else data + b"\r\n")
    return lines
