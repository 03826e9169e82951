"""The base subject: what a subject says once reply and forward marks are taken off.

Owns the extraction of RFC 5256 exactly, in linear time: two positions move
towards each other over the text, which is never copied.

Fails: never.
Does not: decode encoded words (``text.decode_header``) or compare (``collation``).

Sources: RFC 5256 section 2.1 and section 5 (subject).
"""

import re
from typing import NamedTuple

__all__ = ["BaseSubject", "base_subject"]

_BLANKS = re.compile(r"[ \t\r\n]+")
_BLOB = re.compile(r"\[[^\[\]]*\] *")
_REFWD = re.compile(r"(?:re|fwd?) *(?:\[[^\[\]]*\] *)?:", re.IGNORECASE | re.ASCII)
_FORWARD = re.compile(r"\[fwd:", re.IGNORECASE | re.ASCII)
_TRAILER = "(fwd)"


class BaseSubject(NamedTuple):
    """``is_reply``: a mark of a reply or forward was taken off (RFC 5256 section 3, THREAD, "reply or forward")."""

    text: str
    is_reply: bool


def base_subject(subject: str) -> BaseSubject:
    """Return the base of a decoded subject. The numbers are the steps of RFC 5256 section 2.1."""
    text = _BLANKS.sub(" ", subject)  # 1
    start, end, is_reply = 0, len(text), False
    while True:
        end, forwarded = _cut_trailers(text, start, end)  # 2
        start, replied = _cut_leaders(text, start, end)  # 3 to 5
        is_reply = is_reply or forwarded or replied
        if not (_FORWARD.match(text, start, end) and text.endswith("]", start, end)):  # 6
            return BaseSubject(text[start:end], is_reply)
        start, end, is_reply = start + 5, end - 1, True


def _cut_trailers(text: str, start: int, end: int) -> tuple[int, bool]:
    """Return where the text ends without blanks and "(fwd)", and whether there was one of these."""
    found = False
    while end > start:
        if text[end - 1] == " ":
            end -= 1
        elif end - start >= 5 and text[end - 5 : end].lower() == _TRAILER:
            end -= 5
            found = True
        else:
            break
    return end, found


def _cut_leaders(text: str, start: int, end: int) -> tuple[int, bool]:
    """Return where the text starts without blanks, "Re:" and its like, and blobs; and whether there was a "Re:"."""
    found = False
    while True:
        while start < end and text[start] == " ":
            start += 1
        last, position = start, start
        while blob := _BLOB.match(text, position, end):
            last, position = position, blob.end()
        mark = _REFWD.match(text, position, end)
        if mark is None:
            # A blob is left where nothing else is (step 4).
            return (position if position < end else last), found
        start, found = mark.end(), True
