"""The ``dovecot-uidlist`` of a Maildir folder: which UID each file has, readable and writable by Dovecot.

Version 3: a header ``3 V<uid_validity> N<next_uid> G<guid>``, then one line
``<uid> [S<size>] [W<crlf size>] ... :<base name>`` per message, ascending.
New messages are appended as lines, which may run ahead of ``N``; a rewrite
drops the lines of files that are gone. A last line without its LF is what a
crash left and is cut.

Fails: ``parse_uidlist`` returns None for a file that is no uidlist, or one that has
hardly a UID left to give: the caller starts a new one with a new uid_validity.
Does not: take Dovecot's ``dovecot-uidlist.lock``.
Sources: Dovecot "Maildir Mailbox Format", section "IMAP UID mapping".
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

__all__ = ["MAX_NEXT_UID", "MAX_UID", "UIDLIST_NAME", "UidList", "format_lines", "format_uidlist", "parse_uidlist"]

UIDLIST_NAME = b"dovecot-uidlist"
MAX_UID = 0xFFFF_FFFF
MAX_NEXT_UID = 0xFFFF_0000
"""Where UIDs start anew (RFC 3501 section 2.3.1.1: never beyond 32 bits); leaves room for one batch."""
MAX_DIGITS = 10

_HEADER = re.compile(rb"([13])((?: [A-Z][^ \n]*| \d+)*)\n")
_LINE = re.compile(rb"^(\d{1,10})((?: [A-Z][^ \n]*)*) :?([^\n]*)\n", re.MULTILINE)


@dataclass(slots=True)
class UidList:
    """What the file said. ``uids``: base name to UID, ascending; ``is_clean``: nothing in it needs mending."""

    uid_validity: int
    next_uid: int
    guid: bytes
    uids: dict[bytes, int] = field(default_factory=dict)
    is_clean: bool = True


def parse_uidlist(data: bytes) -> UidList | None:
    """Read the file; None when its header makes no sense. UIDs that do not ascend are left out."""
    header = _HEADER.match(data)
    if header is None:
        return None
    found = _parse_header(header)
    if found is None:
        return None
    position, last = header.end(), 0
    uids = found.uids
    for line in _LINE.finditer(data, position):
        uid = int(line[1])
        if uid <= last or uid > MAX_UID or line.start() != position:
            found.is_clean = False
            if uid <= last or uid > MAX_UID:
                continue
        last, position = uid, line.end()
        base = line[3].partition(b":2,")[0]
        if base in uids:  # the later line wins, and stands at its own place
            del uids[base]
            found.is_clean = False
        uids[base] = uid
    found.is_clean &= position == len(data)
    found.next_uid = max(found.next_uid, last + 1)
    return found if found.next_uid <= MAX_NEXT_UID else None


def _parse_header(header: "re.Match[bytes]") -> UidList | None:
    words, guid = header[2].split(), b""
    if header[1] == b"1":  # Courier's form: two bare numbers
        numbers = words
    else:
        fields = {word[:1]: word[1:] for word in words}
        numbers, guid = [fields.get(b"V", b""), fields.get(b"N", b"1")], fields.get(b"G", b"")
    # Thousands of digits are no number to ``int``.
    if len(numbers) != 2 or not all(number.isdigit() and len(number) <= MAX_DIGITS for number in numbers):
        return None
    validity, next_uid = map(int, numbers)
    if not 0 < validity <= MAX_UID:
        return None
    return UidList(validity, next_uid, guid, is_clean=header[1] == b"3" and bool(guid))


def format_lines(entries: Iterable[tuple[int, bytes]]) -> bytes:
    """Return lines to append."""
    return b"".join([b"%d :%s\n" % entry for entry in entries])


def format_uidlist(uid_validity: int, next_uid: int, guid: bytes, entries: Iterable[tuple[int, bytes]]) -> bytes:
    """Return a whole file."""
    return b"3 V%d N%d G%s\n" % (uid_validity, next_uid, guid) + format_lines(entries)
