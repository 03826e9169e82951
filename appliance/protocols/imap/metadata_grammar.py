"""GETMETADATA and SETMETADATA, and entry names wherever they stand.

Options may stand before the mailbox, as the RFC's grammar has them, or behind
it, as its examples do.

Fails:    ``ParseError``.
Sources:  RFC 5464 sections 3.2 and 5, RFC 4466 section 2.1 (options), RFC 9590 section 4.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from appliance.protocols.imap.commands_mailboxes import ANY_DEPTH, GetMetadata, SetMetadata
from appliance.protocols.imap.grammar import ParseError, Reader
from appliance.protocols.imap.state import LOGGED_IN, Verb

__all__ = ["VERBS", "read_entries"]

MAX_ENTRIES = 100
MAX_ENTRY_BYTES = 255

_ENTRY = re.compile(r"/(?:private|shared)(?:/[^/*%\x00-\x1f\x7f]+)+")
_DEPTHS = {"0": 0, "1": 1, "INFINITY": ANY_DEPTH}


def _read_entry(reader: Reader) -> str:
    """Return an entry name in lower case (RFC 5464 section 3.2)."""
    raw = reader.read_astring("entry name")
    if not raw.isascii() or len(raw) > MAX_ENTRY_BYTES:
        raise ParseError(f"an entry name has ASCII characters alone, {MAX_ENTRY_BYTES} at most")
    entry = raw.decode("ascii").lower()
    if entry in {"/private", "/shared"}:
        return entry
    if not _ENTRY.fullmatch(entry):
        raise ParseError("an entry name is like /private/comment: no * or %, no empty part, /private or /shared first")
    return entry


def read_entries(reader: Reader) -> tuple[str, ...]:
    """Return one entry or a list of them, each once."""
    if not reader.take(b"("):
        return (_read_entry(reader),)
    entries = [_read_entry(reader)]
    while not reader.take(b")"):
        reader.read_space()
        entries.append(_read_entry(reader))
        if len(entries) > MAX_ENTRIES:
            raise ParseError("too many entries")
    return tuple(dict.fromkeys(entries))


def _read_options(reader: Reader) -> tuple[int | None, int]:
    """Read MAXSIZE and DEPTH behind their open parenthesis."""
    max_bytes: int | None = None
    depth = 0
    while True:
        name = reader.read_word("MAXSIZE or DEPTH")
        reader.read_space()
        if name == "MAXSIZE":
            max_bytes = reader.read_number("largest size")
        elif name == "DEPTH":
            word = reader.read_word("0, 1 or infinity")
            if word not in _DEPTHS:
                raise ParseError("DEPTH is 0, 1 or infinity")
            depth = _DEPTHS[word]
        else:
            raise ParseError(f"no such option: {name[:40]}")
        if reader.take(b")"):
            return max_bytes, depth
        reader.read_space()


def _is_options(reader: Reader) -> bool:
    """Tell options from a list of entries: these begin with a slash, quoted or not."""
    return reader.data[reader.pos : reader.pos + 9].upper().startswith((b"(MAXSIZE ", b"(DEPTH "))


def _read_get_metadata(reader: Reader, uid: bool) -> GetMetadata:
    """Read what follows ``GETMETADATA``. Entries may also follow each other without parentheses, as in RFC 5464 section 4.4.1."""
    reader.read_space()
    max_bytes, depth = None, 0
    if _is_options(reader):
        reader.take(b"(")
        max_bytes, depth = _read_options(reader)
        reader.read_space()
    mailbox = reader.read_mailbox()
    reader.read_space()
    if _is_options(reader):
        reader.take(b"(")
        max_bytes, depth = _read_options(reader)
        reader.read_space()
    entries = list(read_entries(reader))
    while reader.take(b" ") and not reader.at_end:
        entries.append(_read_entry(reader))
        if len(entries) > MAX_ENTRIES:
            raise ParseError("too many entries")
    return GetMetadata(mailbox, tuple(dict.fromkeys(entries)), max_bytes, depth)


def _read_set_metadata(reader: Reader, uid: bool) -> SetMetadata:
    """Read what follows ``SETMETADATA``."""
    reader.read_space()
    mailbox = reader.read_mailbox()
    reader.read_space()
    if not reader.take(b"("):
        reader.fail("list of entries and values")
    values: dict[str, bytes | None] = {}
    while True:
        entry = _read_entry(reader)
        _check_settable(entry)
        reader.read_space()
        values[entry] = _read_value(reader)
        if reader.take(b")"):
            return SetMetadata(mailbox, tuple(values.items()))
        reader.read_space()
        if len(values) >= MAX_ENTRIES:
            raise ParseError("too many entries")


def _check_settable(entry: str) -> None:
    """RFC 5464 section 3.2: two components, below ``vendor`` four."""
    parts = entry.split("/")[1:]
    if len(parts) < 2 or (parts[1] == "vendor" and len(parts) < 4):
        raise ParseError("an entry name has at least two parts, four when the second is vendor")


def _read_value(reader: Reader) -> bytes | None:
    """Return an nstring, or a literal8 (RFC 3516 section 4.4), which may hold any octet."""
    if reader.take(b"~"):
        return reader.read_string("literal value")
    value = reader.read_nstring("value or NIL")
    if value is not None and b"\x00" in value:
        raise ParseError("a value with NUL is sent as ~{length}")
    return value


VERBS: Final[Mapping[str, Verb]] = MappingProxyType(
    {
        "GETMETADATA": Verb(LOGGED_IN, _read_get_metadata),
        "SETMETADATA": Verb(LOGGED_IN, _read_set_metadata),
    }
)
