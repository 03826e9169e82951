"""IMAP body sections: from ``1.2.MIME`` to the octets it names.

Owns the numbering of parts and nested messages, and nothing of IMAP's syntax around it.

Fails: never; a section that the message does not have is None, which clients see as NIL.

Sources: RFC 3501 section 6.4.5 (section specification and its example tree), RFC 9051 section 6.4.5.1.
"""

import re
from typing import NamedTuple

from appliance.message.part import Part

__all__ = ["ByteRange", "find_entity", "find_part"]

_SECTION = re.compile(r"(?P<numbers>\d{1,6}(?:\.\d{1,6}){0,200})?(?:(?:^|\.)(?P<word>HEADER|TEXT|MIME))?", re.IGNORECASE).fullmatch


class ByteRange(NamedTuple):
    """Octets of the message with CRLF line ends."""

    offset: int
    length: int


def find_part(root: Part, section: str) -> ByteRange | None:
    """Return where a section lies.

    ``section`` is what stands between the brackets: ``""`` (everything), numbers,
    ``HEADER``, ``TEXT``, ``1.2.MIME`` ...; for HEADER.FIELDS ask for HEADER and
    choose with ``header.select_fields``.
    """
    found = _SECTION(section)
    if found is None:
        return None
    numbers = found["numbers"]
    word = (found["word"] or "").upper()
    path = tuple(map(int, numbers.split("."))) if numbers else ()
    if not path:
        return _of_message(root, word)
    part = find_entity(root, path)
    if part is None:
        # A multipart without parts shows one empty text part in BODYSTRUCTURE; here it is.
        parent = find_entity(root, path[:-1]) if path[-1] == 1 else None
        empty = parent is not None and parent.is_multipart and word in {"", "MIME"}
        return ByteRange(parent.body_end, 0) if parent is not None and empty else None
    if word == "MIME":
        return _range(part.header_start, part.body_start)
    if word:
        return _of_message(part.message, word) if part.message is not None else None
    return _range(part.body_start, part.body_end)


def _of_message(message: Part, word: str) -> ByteRange | None:
    if word == "HEADER":
        return _range(message.header_start, message.body_start)
    if word == "TEXT":
        return _range(message.body_start, message.body_end)
    return None if word else _range(message.header_start, message.body_end)


def _range(start: int, end: int) -> ByteRange:
    return ByteRange(start, end - start)


def find_entity(root: Part, path: tuple[int, ...]) -> Part | None:
    """Return the part with that number; ``()`` is the message itself.

    Every message, the nested ones too, has a part 1: its only one unless it is multipart.
    """
    current = root
    selects_from_message = True
    for number in path:
        entity = current
        if not selects_from_message and current.message is not None:
            entity = current.message
            selects_from_message = True
        if entity.is_multipart:
            if not 1 <= number <= len(entity.children):
                return None
            current = entity.children[number - 1]
        elif selects_from_message and number == 1:
            current = entity
        else:
            return None
        selects_from_message = False
    return current
