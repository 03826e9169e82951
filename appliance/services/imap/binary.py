"""BINARY: sections with their transfer encoding undone.

Owns which encodings are known, and where decoded octets wait: up to 256 KiB in
memory, more in a temporary file, because a literal is announced with its
length. Multiparts and messages have no encoding of their own and go out as
they are.

Fails:    ``UnknownEncodingError`` for an encoding that we cannot undo.
Sources:  RFC 3516 section 4.2, section 4.3 and section 7 (FETCH BINARY, BINARY.SIZE, UNKNOWN-CTE).
"""

from collections.abc import Callable
from typing import BinaryIO, NamedTuple

from appliance.message.decode import decoded_body
from appliance.message.part import Part
from appliance.model.errors import OutOfSpaceError, UnknownEncodingError
from appliance.protocols.imap.fetch_items import BinarySection

__all__ = ["Decoded", "decode_section"]

IN_MEMORY_BYTES = 262_144
_IDENTITY = frozenset({b"7bit", b"8bit", b"binary"})
_KNOWN = _IDENTITY | {b"base64", b"quoted-printable"}


class Decoded(NamedTuple):
    """Octets ready to be sent: ``data``, or a part of ``stream`` that the receiver closes if ``is_own``."""

    length: int
    data: bytes | None = None
    stream: BinaryIO | None = None
    offset: int = 0
    is_own: bool = False


def _is_leaf(part: Part) -> bool:
    return part.message is None and not part.is_multipart


def decode_section(stream: BinaryIO, part: Part, section: BinarySection, spool: Callable[[], BinaryIO]) -> Decoded:
    """Return what a part decodes to, cut as the partial says. Raises UnknownEncodingError. Blocks: disk."""
    if _is_leaf(part) and part.encoding not in _KNOWN:
        raise UnknownEncodingError(part.encoding.decode("ascii", "replace"))
    if not _is_leaf(part) or part.encoding in _IDENTITY:
        return _cut(stream, part.body_start, part.size, section)
    if section.size_only:
        return Decoded(sum(map(len, decoded_body(stream, part))))
    begin, end = (section.partial[0], sum(section.partial)) if section.partial is not None else (0, None)
    return _collect(stream, part, begin, end, spool)


def _cut(stream: BinaryIO, offset: int, length: int, section: BinarySection) -> Decoded:
    if section.partial is not None:
        skip = min(section.partial[0], length)
        offset, length = offset + skip, min(section.partial[1], length - skip)
    if section.size_only or length > IN_MEMORY_BYTES:
        return Decoded(length, stream=stream, offset=offset)
    stream.seek(offset)
    return Decoded(length, stream.read(length))


def _collect(stream: BinaryIO, part: Part, begin: int, end: int | None, spool: Callable[[], BinaryIO]) -> Decoded:
    """Decode and keep the octets from ``begin`` to ``end``."""
    pieces: list[bytes] = []
    file: BinaryIO | None = None
    held = position = length = 0
    try:
        for chunk in decoded_body(stream, part):
            piece = chunk[max(0, begin - position) : None if end is None else max(0, end - position)]
            position += len(chunk)
            pieces.append(piece)
            held += len(piece)
            length += len(piece)
            if held > IN_MEMORY_BYTES:
                file = file or spool()
                file.write(b"".join(pieces))
                pieces, held = [], 0
            if end is not None and position >= end:
                break
        if file is None:
            return Decoded(length, b"".join(pieces))
        file.write(b"".join(pieces))
        file.flush()
    except OSError as error:
        if file is not None:
            file.close()
        raise OutOfSpaceError(str(error)) from error
    return Decoded(length, stream=file, is_own=True)
