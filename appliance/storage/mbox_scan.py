"""Finding the messages in an mbox file: their places, and what their headers say of them.

Reads in windows of a megabyte and never maps the file: another program that cuts
it would kill the process. Sources: RFC 4155, mutt's is_from.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from appliance.storage.mbox_text import SEPARATOR, State, hash_header, parse_state

__all__ = ["Entry", "read_header", "scan", "torn_tail"]

WINDOW_BYTES = 1_048_576
MAX_LINE_BYTES = 2_048
MAX_HEADER_BYTES = 2_097_152
FIRST_READ_BYTES = 8_192
_BLANK = re.compile(rb"\n\r?\n")


@dataclass(slots=True)
class Entry:
    """One message: ``length`` reaches to the next From_ line or the end of the file."""

    offset: int
    length: int
    state: State
    hash: bytes = b""
    uid: int = 0


def _separators(fd: int, start: int, size: int) -> Iterator[int]:
    """Yield where From_ lines begin, from ``start`` (the beginning of a line) on."""
    position = start
    carried = b"\n"  # so that a From_ line at ``start`` follows a line end
    while True:
        data = os.pread(fd, min(WINDOW_BYTES, size - position), position)
        is_last = not data or position + len(data) >= size
        window = carried + data
        base = position - len(carried)
        found = window.find(b"\nFrom ")
        limit = len(window) if is_last else len(window) - MAX_LINE_BYTES
        while 0 <= found < limit:
            if SEPARATOR.match(window, found + 1, found + 1 + MAX_LINE_BYTES):
                yield base + found + 1
            found = window.find(b"\nFrom ", found + 1)
        if is_last:
            return
        position += len(data)
        carried = window[max(0, limit) :]


def read_header(fd: int, offset: int, length: int) -> tuple[bytes, bytes, int]:
    """Return From_ line, header section and how far behind ``offset`` the body begins."""
    wanted = FIRST_READ_BYTES
    while True:
        data = os.pread(fd, min(wanted, length), offset)
        line_end = data.find(b"\n") + 1
        if data[line_end : line_end + 1] == b"\n":
            return data[:line_end], b"", line_end + 1
        blank = _BLANK.search(data, line_end)
        if blank is not None:
            return data[:line_end], data[line_end : blank.start() + 1], blank.end()
        if wanted >= min(length, MAX_HEADER_BYTES):
            return data[:line_end], data[line_end:], len(data)
        wanted *= 8


def scan(fd: int, start: int, size: int) -> list[Entry]:
    """Return the messages from ``start`` on, in the order of the file."""
    offsets = list(_separators(fd, start, size))
    entries = []
    for offset, end in pairwise([*offsets, size]):
        line, header, _ = read_header(fd, offset, end - offset)
        state = parse_state(header)
        entries.append(Entry(offset, end - offset, state, b"" if state.uid else hash_header(line, header)))
    return entries


def torn_tail(fd: int, size: int, last: Entry | None) -> int:
    """Return where an append that a crash cut short begins, ``size`` if there is none.

    Cut are blocks of NUL, a From_ line without its end, a header section of
    ours without its end, and a message of our own queue that does not end in a
    blank line: nothing of that was acknowledged, or the queue still has it.
    """
    begin = max(0, size - WINDOW_BYTES)
    tail = os.pread(fd, size - begin, begin)
    end = size
    kept = tail.rstrip(b"\0")
    if len(kept) < len(tail):
        end = begin + len(kept)
    line = kept.rfind(b"\n") + 1
    partial = kept[line:]
    follows_blank = kept[:line].endswith(b"\n\n") or begin + line == 0
    if partial and follows_blank and (partial.startswith(b"From ") or b"From ".startswith(partial)):
        return begin + line
    if last is None or kept.endswith(b"\n\n"):
        return end
    from_, header, body_at = read_header(fd, last.offset, end - last.offset)
    is_open = body_at == len(from_) + len(header)
    begins_like_ours = any(header[: len(field)] == field[: len(header)] for field in (b"X-UID: ", b"X-IMAPbase: "))
    return last.offset if last.state.queue_id or (is_open and begins_like_ours) else end
