"""The first words of a message, for lists of messages.

Owns which part they come from (the first that shows text, plain before HTML),
and what is left out: quoted lines, signatures, invisible characters that mailings
pad with. Bounded in time and space whatever the message holds.

Fails: never; a message without text has the preview ``""``.

Sources: RFC 8970 section 3.2 and section 4 (at most 256 characters), RFC 3676 section 4.3 (signature).
"""

import re
from typing import BinaryIO

from appliance.message.decode import leaf_parts, part_text
from appliance.message.parameter import parse_disposition
from appliance.message.part import Part

__all__ = ["MAX_CHARACTERS", "make_preview"]

MAX_CHARACTERS = 200
"""RFC 8970 section 3.2: 200 is recommended, 256 allowed."""
_MAX_PARTS = 20
_MAX_TEXT = 65_536
_SIGNATURE = re.compile(r"^-- ?$", re.MULTILINE)
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufffc\x00-\x08\x0e-\x1f\x7f-\x9f]+"
)


def make_preview(stream: BinaryIO, root: Part) -> str:
    """Return one line. Blocks: as ``stream.read`` does; the stream must seek and hold the octets that ``root`` was scanned from."""
    shown = [part for part, _ in zip(leaf_parts(root), range(_MAX_PARTS), strict=False) if part.type == b"text" and not _is_attached(part)]
    shown.sort(key=lambda part: part.subtype == b"html")
    for part in shown:
        text = _first_words(part_text(stream, part, _MAX_TEXT))
        if text:
            return text
    return ""


def _is_attached(part: Part) -> bool:
    parsed = parse_disposition(part.disposition) if part.disposition else None
    return parsed is not None and parsed[0] == b"attachment"


def _first_words(text: str) -> str:
    text = _INVISIBLE.sub("", text.replace("\r\n", "\n"))
    signature = _SIGNATURE.search(text)
    own = text[: signature.start()] if signature is not None else text
    lines = [line for line in own.splitlines() if not line.lstrip().startswith(">")]
    # What consists of quotes alone is better than nothing.
    words = " ".join(" ".join(lines).split()) or " ".join(text.split())
    if len(words) <= MAX_CHARACTERS:
        return words
    cut = words.rfind(" ", MAX_CHARACTERS // 2, MAX_CHARACTERS)
    return words[: cut if cut > 0 else MAX_CHARACTERS]
