"""What of a message goes into a DKIM or ARC signature: canonical fields and body, and which fields.

Shared by verifying (``policy.dkim``, ``policy.arc``) and signing. ``BodyHash``
takes the body in whatever chunks arrive and holds back at most three octets
and a count, so that a hash is ready when the last octet is; everything is linear.

Fails: never; any bytes have a canonical form.
Does not: convert line ends; lines end in CRLF, as they do on the wire. A lone CR or LF is text.

Sources: RFC 6376 section 3.4 (canonicalization), 3.7 (what is hashed), 5.4.2
(fields are taken from the bottom), RFC 8617 section 4.1 (the same for ARC).
"""

import enum
import hashlib
from collections.abc import Iterable, Sequence
from typing import Final

from appliance.message.header import Field

__all__ = ["BodyHash", "Canon", "FieldPicker", "canonical_field", "canonical_unsigned", "signed_fields", "signing_input"]

_BLOCK: Final = 32_768
_CRLFS: Final = b"\r\n" * _BLOCK


class Canon(enum.Enum):
    """How much change on the way a signature survives."""

    SIMPLE = "simple"
    RELAXED = "relaxed"


def _collapse(data: bytes) -> bytes:
    """Make one space of every run of spaces and tabs: by halving, several times as fast as a regular expression."""
    if b"\t" in data:
        data = data.replace(b"\t", b" ")
    while b"  " in data:
        data = data.replace(b"  ", b" ")
    return data


class BodyHash:
    """SHA-256 over a canonical body. ``limit``: what ``l=`` says, None for the whole body."""

    __slots__ = ("_ends_line", "_hash", "_held", "_is_relaxed", "_lines", "limit", "size")

    def __init__(self, canon: Canon, limit: int | None = None) -> None:
        self._hash = hashlib.sha256()
        self._is_relaxed = canon is Canon.RELAXED
        self._held = b""  # may yet be the beginning of a line end, or space before one
        self._lines = 0  # line ends that count only when something follows
        self._ends_line = True
        self.limit = limit
        self.size = 0
        """Canonical octets so far, those behind ``limit`` too."""

    def feed(self, chunk: bytes) -> None:
        """Take a piece of the body."""
        data = self._held + chunk if self._held else chunk
        self._held = b""
        if self._is_relaxed:
            data = _collapse(data)
            end = len(data) - data.endswith(b"\r")
            end -= data.endswith(b" ", 0, end)
            data, self._held = data[:end], data[end:]
            data = data.replace(b" \r\n", b"\r\n")
        elif data.endswith(b"\r"):
            data, self._held = data[:-1], b"\r"
        self._take(data)

    def _take(self, data: bytes) -> None:
        """Hash all but the line ends at the end, which are counted."""
        text = data.rstrip(b"\r\n")
        tail = data[len(text) :]
        # The part of the tail in which CR and LF take turns; before it stands a lone one, which is text.
        turns = max(tail.rfind(b"\r\r"), tail.rfind(b"\n\n")) + 1
        turns += tail.startswith(b"\n", turns)
        if (len(tail) - turns) % 2:
            turns = len(tail)  # it ends with a CR, and what is held back is no LF
        if turns:
            text = data[: len(text) + turns]
        if text:
            self._flush_lines()
            self._update(text)
            self._ends_line = False
        self._lines += (len(tail) - turns) // 2

    def _flush_lines(self) -> None:
        while self._lines:
            count = min(self._lines, _BLOCK)
            self._update(_CRLFS[: 2 * count])
            self._lines -= count

    def _update(self, data: bytes) -> None:
        room = len(data) if self.limit is None else max(self.limit - self.size, 0)
        self._hash.update(data if room >= len(data) else data[:room])
        self.size += len(data)

    def digest(self) -> bytes:
        """Return the hash; call once, at the end of the body."""
        held, self._held = self._held, b""
        if self._is_relaxed and held == b" ":
            held = b""  # space at the end of a last line without line end
        if held:
            self._flush_lines()
            self._update(held)
            self._ends_line = False
        if not self._ends_line or not self._is_relaxed:
            self._update(b"\r\n")
        return self._hash.digest()


def canonical_field(field: Field, canon: Canon) -> bytes:
    """Return a header field in canonical form, with its line end."""
    if canon is Canon.SIMPLE:
        return field.raw if field.raw.endswith(b"\n") else field.raw + b"\r\n"
    _name, _colon, value = field.raw.partition(b":")
    value = _collapse(value.replace(b"\r\n", b"").rstrip(b"\r\n")).strip(b" ")
    return field.name.lower() + b":" + value + b"\r\n"


def canonical_unsigned(field: Field, canon: Canon) -> bytes:
    """Return a signature's own field without the value of ``b=`` and without line end (RFC 6376 section 3.7)."""
    name, colon, value = field.raw.partition(b":")
    pieces = value.split(b";")
    for number, piece in enumerate(pieces):
        tag, equals, _value = piece.partition(b"=")
        if equals and tag.strip(b" \t\r\n") == b"b":
            pieces[number] = tag + equals
            if number == len(pieces) - 1:
                pieces[number] += b"\r\n"
            break
    return canonical_field(Field(field.name, name + colon + b";".join(pieces)), canon).removesuffix(b"\r\n")


class FieldPicker:
    """The fields of a header section by name, each list from the top."""

    __slots__ = ("_by_name",)

    def __init__(self, fields: Iterable[Field]) -> None:
        self._by_name: dict[bytes, list[Field]] = {}
        for field in fields:
            if field.name:
                self._by_name.setdefault(field.name.lower(), []).append(field)

    def all(self, name: bytes) -> Sequence[Field]:
        """Return the fields of that name, given in lower case, from the top."""
        return self._by_name.get(name, ())

    def pick(self, names: Iterable[bytes]) -> list[Field]:
        """Return the fields that ``h=`` names: of each name the lowest that was not taken; a name without field is none.

        Source: RFC 6376 section 5.4.2.
        """
        left: dict[bytes, int] = {}
        picked = []
        for name in names:
            wanted = name.lower()
            fields = self._by_name.get(wanted, ())
            at = left.get(wanted, len(fields)) - 1
            left[wanted] = at
            if at >= 0:
                picked.append(fields[at])
        return picked


def signing_input(picker: FieldPicker, names: Iterable[bytes], signature: Field, canon: Canon) -> bytes:
    """Return what is signed: the fields of ``names``, then the signature's own field without its signature."""
    return signed_fields(picker, names, canon) + canonical_unsigned(signature, canon)


def signed_fields(picker: FieldPicker, names: Iterable[bytes], canon: Canon) -> bytes:
    """Return what several signatures over the same fields have in common: those fields in canonical form."""
    return b"".join([canonical_field(field, canon) for field in picker.pick(names)])
