"""Builders of what the server says: each returns the bytes of one response or of a piece of one.

Owns the choice between atom, quoted string and literal, the spelling of
response codes, and the line for each untagged response. Lines end in CRLF.

Does not: send, or know of commands. FETCH rows by the thousand are joined by
          the session from ``flag_names``; a call per row would cost too much.
Sources:  RFC 3501 section 7 and section 9, RFC 4315 (APPENDUID, COPYUID),
          RFC 5258 (LIST), RFC 5530 (response codes), RFC 7162 (VANISHED, MODSEQ).
"""

import datetime
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from appliance.model.mailbox import KEYWORD_SHIFT, Flag
from appliance.protocols.imap.grammar import MONTHS
from appliance.protocols.imap.sequence import SequenceSet, format_sequence_set
from appliance.protocols.imap.utf7 import encode_mailbox_name

__all__ = [
    "RECENT",
    "astring",
    "copy_code",
    "flag_names",
    "id_response",
    "internal_date",
    "list_response",
    "literal",
    "mailbox_name",
    "nstring",
    "search_pieces",
    "status",
    "string",
    "text_line",
    "vanished",
    "vanished_earlier",
]

SEARCH_PIECE: Final = 5_000
"""Numbers of a SEARCH response that are rendered in one step."""
RECENT: Final = 32
r"""The bit that stands for ``\Recent`` inside a session; no store ever sets it."""

_ATOM = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\\]]+')
_QUOTABLE = re.compile(rb"[\x01-\x09\x0b\x0c\x0e-\x21\x23-\x5b\x5d-\x7f]*")
_ESCAPABLE = re.compile(rb"[\x01-\x09\x0b\x0c\x0e-\x7f]*")
_SPECIALS = re.compile(rb'(["\\])')
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_BAD_IN_TEXT = re.compile(r"[^\x20-\x7e]+")
_MAX_QUOTED = 4_096
"""Longer strings go as literals; some clients read quoted strings into small buffers."""

_SYSTEM_NAMES: Final = (
    (int(Flag.ANSWERED), "\\Answered"),
    (int(Flag.FLAGGED), "\\Flagged"),
    (int(Flag.DELETED), "\\Deleted"),
    (int(Flag.SEEN), "\\Seen"),
    (int(Flag.DRAFT), "\\Draft"),
    (RECENT, "\\Recent"),
)


# Strings


def literal(value: bytes) -> bytes:
    return b"{%d}\r\n%b" % (len(value), value)


def string(value: bytes) -> bytes:
    """Return a quoted string where that is possible, else a literal."""
    if len(value) <= _MAX_QUOTED:
        if _QUOTABLE.fullmatch(value):
            return b'"%b"' % value
        if _ESCAPABLE.fullmatch(value):
            return b'"%b"' % _SPECIALS.sub(rb"\\\1", value)
    return literal(value)


def nstring(value: bytes | None) -> bytes:
    return b"NIL" if value is None else string(value)


def astring(value: bytes) -> bytes:
    """Return an atom where that is possible; ``NIL`` is quoted, lest it be read as nothing."""
    return value if _ATOM.fullmatch(value) and value.upper() != b"NIL" else string(value)


def mailbox_name(name: str, *, utf8: bool = False) -> bytes:
    """Return a name as it goes over the wire: modified UTF-7, or UTF-8 once enabled (RFC 6855)."""
    if not utf8:
        return astring(encode_mailbox_name(name))
    raw = name.encode("utf-8")
    return astring(raw) if raw.isascii() else b'"%b"' % _SPECIALS.sub(rb"\\\1", raw)


def text_line(text: str, *, utf8: bool = False) -> bytes:
    """Return human-readable text fit for the end of a response: ASCII, or UTF-8 once a language was chosen (RFC 5255 section 3.5)."""
    shown = _CONTROLS.sub("?", text) if utf8 else _BAD_IN_TEXT.sub("?", text)
    return shown.encode("utf-8", "replace") or b"-"


def internal_date(seconds: int) -> bytes:
    """Return a quoted date-time in UTC."""
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return (
        f'"{moment.day:2d}-{MONTHS[moment.month - 1]}-{moment.year:04d} {moment.hour:02d}:{moment.minute:02d}:{moment.second:02d} +0000"'
    ).encode("ascii")


def flag_names(value: int, keywords: Sequence[str]) -> str:
    """Return the names of the bits of ``value``, separated by spaces."""
    names = [name for bit, name in _SYSTEM_NAMES if value & bit]
    rest = value >> KEYWORD_SHIFT
    if rest:
        names += [keyword for number, keyword in enumerate(keywords) if rest >> number & 1]
    return " ".join(names)


# Response codes


def copy_code(uid_validity: int, source: Sequence[int], destination: Sequence[int]) -> bytes:
    """Return ``COPYUID`` with both sets in one order (RFC 4315 section 3)."""
    return b"COPYUID %d %b %b" % (uid_validity, format_sequence_set(source), format_sequence_set(destination))


# Untagged responses


def list_response(
    kind: bytes, attributes: Iterable[str], name: bytes, *, delimiter: bytes = b'"/"', child_info: Sequence[str] = ()
) -> bytes:
    """Return LIST or LSUB; ``child_info`` is the CHILDINFO of RFC 5258 section 3.5."""
    extended = b' ("CHILDINFO" (%b))' % " ".join(f'"{item}"' for item in child_info).encode("ascii") if child_info else b""
    return b"* %b (%b) %b %b%b\r\n" % (kind, " ".join(attributes).encode("ascii"), delimiter, name, extended)


def status(name: bytes, values: Mapping[str, int | str]) -> bytes:
    pairs = " ".join(f"{item} {value}" for item, value in values.items())
    return b"* STATUS %b (%b)\r\n" % (name, pairs.encode("ascii"))


def search_pieces(numbers: Sequence[int], modseq: int = 0) -> Iterator[bytes]:
    """Yield SEARCH in pieces, each of which takes a few milliseconds to make.

    ``modseq`` is the highest of the messages found, where it was searched for (RFC 7162 section 3.1.6).
    """
    yield b"* SEARCH"
    for low in range(0, len(numbers), SEARCH_PIECE):
        yield b"".join([b" %d" % number for number in numbers[low : low + SEARCH_PIECE]])
    yield b" (MODSEQ %d)\r\n" % modseq if modseq else b"\r\n"


def vanished(uids: Iterable[int]) -> bytes:
    """Return VANISHED for messages that the client has seen (RFC 7162 section 3.2.10)."""
    return b"* VANISHED %b\r\n" % format_sequence_set(uids)


def vanished_earlier(ranges: Iterable[tuple[int, int]]) -> bytes:
    """Return VANISHED (EARLIER) (RFC 7162 section 3.2.10.1)."""
    return b"* VANISHED (EARLIER) %b\r\n" % SequenceSet(tuple(ranges)).to_bytes()


def id_response(fields: Mapping[str, str]) -> bytes:
    if not fields:
        return b"* ID NIL\r\n"
    pairs = b" ".join(string(text.encode("ascii")) for pair in fields.items() for text in pair)
    return b"* ID (%b)\r\n" % pairs
