"""The header section of a message, over bytes, kept exactly as it came.

Owns where the header section ends, which fields it has, unfolding, and leaving
fields out or putting fields in front. Lines may end in CRLF or LF. A line that
is no field (no colon, a fold before any field) stays in its place under the
empty name, so that what goes out is what came in. All of it is linear.

Fails: never; any bytes are a header section.
Does not: decode anything (``text``), or know what a field means.

Sources: RFC 5322 section 2.2 and 4.5 (obsolete space before the colon),
Dovecot's message-header-parser.c for what is tolerated.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from typing import BinaryIO, Final, NamedTuple

__all__ = [
    "Field",
    "HeaderSection",
    "all_values",
    "body_offset",
    "first_values",
    "iterate_fields",
    "read_header",
    "select_fields",
    "split_message",
    "unfold",
]

MAX_HEADER: Final = 262_144
"""Of a header section that is read for its fields."""
_FIRST_READ: Final = 16_384
_FIELD_END = re.compile(rb"\n(?![ \t])")
_SPACE = (b" ", b"\t")
_FOLD = re.compile(rb"\r?\n")
_is_name = re.compile(rb"[!-9;-~]+").fullmatch


class Field(NamedTuple):
    """One header field. ``name`` as written, ``b""`` for a malformed line; ``raw`` the whole field with its line ends."""

    name: bytes
    raw: bytes

    @property
    def value(self) -> bytes:
        """The unfolded value without surrounding space; of a malformed line, the line."""
        if not self.name:
            return unfold(self.raw)
        return unfold(self.raw.partition(b":")[2])


def unfold(value: bytes) -> bytes:
    """Take the line ends out of a folded value and the space around it (RFC 5322 section 2.2.3)."""
    if b"\n" in value:
        value = _FOLD.sub(b"", value)
    return value.strip(b" \t\r")


def body_offset(data: bytes) -> int:
    """Return where the body starts, behind the empty line; -1 when there is no empty line."""
    if data.startswith((b"\r\n", b"\n")):
        return 2 if data[0] == 13 else 1
    crlf = data.find(b"\n\r\n")
    lone = data.find(b"\n\n", 0, crlf + 1 if crlf >= 0 else len(data))
    if lone >= 0:
        return lone + 2
    return crlf + 3 if crlf >= 0 else -1


def read_header(stream: BinaryIO) -> bytes:
    """Return the header section of a message with its empty line, cut at ``MAX_HEADER``. Blocks: as ``stream.read`` does."""
    data = stream.read(_FIRST_READ)
    if body_offset(data) < 0 and len(data) == _FIRST_READ:
        data += stream.read(MAX_HEADER - len(data))
    end = body_offset(data)
    return data if end < 0 else data[:end]


def split_message(data: bytes) -> tuple[bytes, bytes]:
    """Split into header section, with the empty line if there is one, and body."""
    offset = body_offset(data)
    return (data, b"") if offset < 0 else (data[:offset], data[offset:])


def iterate_fields(header: bytes) -> Iterator[Field]:
    """Yield the fields in order; ends at the empty line or the end of ``header``."""
    start = 0
    length = _fields_length(header)
    while start < length:
        found = _FIELD_END.search(header, start, length)
        end = found.end() if found else length
        raw = header[start:end]
        yield Field(_field_name(raw), raw)
        start = end


def _fields_length(header: bytes) -> int:
    """Return where the fields end: before the empty line, or with the data."""
    offset = body_offset(header)
    if offset < 0:
        return len(header)
    return offset - (2 if header[offset - 2 : offset - 1] == b"\r" else 1)


def _field_name(raw: bytes) -> bytes:
    name, colon, _ = raw.partition(b":")
    if not colon or name[:1] in {b" ", b"\t", b""}:
        return b""
    name = name.rstrip(b" \t")  # RFC 5322 section 4.5: obs-optional has space here
    return name if _is_name(name) else b""


def first_values(header: bytes, wanted: Collection[bytes], *, combined: Collection[bytes] = ()) -> dict[bytes, bytes]:
    """Return the unfolded value of the first field of each name in ``wanted`` (lower case). The quick way in.

    Shape:    of names in ``combined`` all fields, with a comma between.
    """
    found: dict[bytes, list[bytes]] = {}
    for name, pieces in _pieces(header, wanted):
        if name not in found:
            found[name] = pieces
        elif name in combined:
            found[name] += [b",", *pieces]
    return {name: _join(pieces) for name, pieces in found.items()}


def all_values(header: bytes, wanted: Collection[bytes]) -> dict[bytes, list[bytes]]:
    """Return the unfolded values of all fields of each name in ``wanted`` (lower case), in order, without parsing the others."""
    found: dict[bytes, list[bytes]] = {}
    for name, pieces in _pieces(header, wanted):
        found.setdefault(name, []).append(_join(pieces))
    return found


def _pieces(header: bytes, wanted: Collection[bytes]) -> list[tuple[bytes, list[bytes]]]:
    """Return name and lines, from the colon on, of the fields that are wanted."""
    found: list[tuple[bytes, list[bytes]]] = []
    pieces: list[bytes] = []  # of the field being read; of one that is not wanted they are forgotten
    for line in header.split(b"\n"):  # half the time of a regular expression that knows folding
        if line.startswith(_SPACE):
            pieces.append(line)
            continue
        name, colon, value = line.partition(b":")
        name = name.lower()
        if name not in wanted:
            name = name.rstrip(b" \t")
        pieces = [value]
        if colon and name in wanted:
            found.append((name, pieces))
    return found


def _join(pieces: list[bytes]) -> bytes:
    if len(pieces) == 1:
        return pieces[0].strip(b" \t\r")
    return b"".join([piece.removesuffix(b"\r") for piece in pieces]).strip(b" \t\r")


def select_fields(header: bytes, names: Collection[bytes], *, exclude: bool = False) -> bytes:
    """Return the fields named (or all but those) exactly as they stand, and an empty line.

    Shape:    ``names`` lower case; malformed lines belong to no name, so only ``exclude`` keeps them.
    Source:   RFC 9051 section 6.4.5.1 (HEADER.FIELDS, HEADER.FIELDS.NOT: the empty line always follows).
    """
    kept = [field.raw for field in iterate_fields(header) if (field.name.lower() in names and field.name != b"") != exclude]
    if kept and not kept[-1].endswith(b"\n"):
        kept.append(b"\r\n")
    kept.append(b"\r\n")
    return b"".join(kept)


class HeaderSection:
    """The fields of one header section; changing it makes a new one.

    ``max_fields`` bounds what is indexed; the bytes behind it stay, as one malformed line.
    """

    __slots__ = ("_end", "fields")

    def __init__(self, data: bytes = b"", *, max_fields: int = 100_000) -> None:
        end = _fields_length(data)
        fields: list[Field] = []
        length = 0
        for field in iterate_fields(data):
            if len(fields) == max_fields:
                fields.append(Field(b"", data[length:end]))
                break
            fields.append(field)
            length += len(field.raw)
        self.fields: tuple[Field, ...] = tuple(fields)
        self._end = data[end : data.find(b"\n", end) + 1]

    def replacing(self, fields: Sequence[Field]) -> "HeaderSection":
        """Return a section of these fields that ends as this one does."""
        section = HeaderSection()
        section.fields = tuple(fields)
        section._end = self._end
        return section

    def get(self, name: bytes) -> bytes | None:
        """Return the unfolded value of the first field of that name, in any case; None if there is none."""
        wanted = name.lower()
        return next((field.value for field in self.fields if field.name.lower() == wanted), None)

    def get_all(self, name: bytes) -> list[bytes]:
        """Return the unfolded values of all fields of that name, in any case, in order."""
        wanted = name.lower()
        return [field.value for field in self.fields if field.name.lower() == wanted]

    def count(self, name: bytes) -> int:
        """Return how many fields have that name, in any case."""
        wanted = name.lower()
        return sum(field.name.lower() == wanted for field in self.fields)

    def without(self, names: Collection[bytes]) -> "HeaderSection":
        """Leave out every field whose name, in lower case, is among ``names``."""
        return self.replacing([field for field in self.fields if field.name.lower() not in names or not field.name])

    def prepend(self, *raw_fields: bytes) -> "HeaderSection":
        """Put whole fields, each with its line end, in front."""
        return self.replacing([Field(_field_name(raw), raw) for raw in raw_fields] + list(self.fields))

    def append(self, *raw_fields: bytes) -> "HeaderSection":
        """Put whole fields, each with its line end, behind the last."""
        return self.replacing(list(self.fields) + [Field(_field_name(raw), raw) for raw in raw_fields])

    def to_bytes(self) -> bytes:
        """Return the section with its empty line, if it had one: byte for byte what was parsed."""
        return b"".join([field.raw for field in self.fields]) + self._end
