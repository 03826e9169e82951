"""The text of a message as a reader sees it: for searching, and for showing what a part holds.

Owns undoing transfer encodings in chunks, charsets, and taking the markup out of
HTML. Every result is capped; a message is never in memory as a whole.

Fails: never for what a message contains; what cannot be decoded is taken as it is.
Does not: extract text from other formats than text/*, or lower-case anything.

Sources: RFC 2045 sections 6.7 and 6.8, RFC 3501 section 6.4.4 (SEARCH BODY, TEXT).
"""

import binascii
import re
from collections.abc import Iterator
from typing import BinaryIO

from appliance.message.header import iterate_fields
from appliance.message.part import Part
from appliance.message.text import decode_bytes, decode_header

__all__ = ["decoded_body", "header_text", "html_text", "leaf_parts", "part_text", "searchable_text"]

CHUNK_SIZE = 65_536
_MAX_HEADER = 262_144
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]+")
_INVISIBLE = re.compile(
    r"<!--.*?(?:-->|\Z)|<(script|style|head|title)\b[^<>]*+>.*?(?:</\1\s*+>|\Z)"
    r"|</?(?:br|p|div|tr|li|h[1-6]|td|th|blockquote)\b[^<>]*+>",
    re.IGNORECASE | re.DOTALL,
)
_LONG_REFERENCE = re.compile(r"&#[xX]?[0-9a-fA-F]{8,}+;?")  # html.unescape raises on thousands of digits
_TAG = re.compile(r"<[/!?a-zA-Z][^<>]*+>")
_SPACES = re.compile(r"[ \t\r\f\v\xa0]+")
_BLANK_LINES = re.compile(r"\n\s*\n+")


def leaf_parts(root: Part) -> Iterator[Part]:
    """Yield the parts that are neither multipart nor message, in order, those of nested messages too."""
    waiting = [root]
    while waiting:
        part = waiting.pop()
        if part.message is not None:
            waiting.append(part.message)
        elif part.is_multipart:
            waiting.extend(reversed(part.children))
        else:
            yield part


def decoded_body(stream: BinaryIO, part: Part) -> Iterator[bytes]:
    """Yield a part's body with its transfer encoding undone. Blocks: as ``stream.read`` does; the stream must seek."""
    stream.seek(part.body_start)
    left = part.size
    decode = _TransferDecoder(part.encoding)
    while left > 0 and (chunk := stream.read(min(CHUNK_SIZE, left))):
        left -= len(chunk)
        decoded = decode.feed(chunk)
        if decoded:
            yield decoded
    decoded = decode.finish()
    if decoded:
        yield decoded


class _TransferDecoder:
    """Undoes quoted-printable or base64 chunk by chunk; any other encoding passes."""

    def __init__(self, encoding: bytes) -> None:
        self._encoding = encoding
        self._rest = b""

    def feed(self, chunk: bytes) -> bytes:
        if self._encoding == b"base64":
            data = self._rest + _NOT_BASE64.sub(b"", chunk)
            cut = len(data) // 4 * 4
            self._rest = data[cut:]
            return binascii.a2b_base64(data[:cut])
        if self._encoding == b"quoted-printable":
            data = self._rest + chunk
            cut = data.rfind(b"\n") + 1
            if not cut:
                # No line end in 64 KiB: cut anywhere but inside "=XX".
                escape = data.rfind(b"=", -3)
                cut = escape if escape >= 0 else len(data)
            self._rest = data[cut:]
            return binascii.a2b_qp(data[:cut])
        return chunk

    def finish(self) -> bytes:
        rest, self._rest = self._rest, b""
        if self._encoding == b"base64":
            return binascii.a2b_base64(rest + b"=" * (-len(rest) % 4)) if len(rest) > 1 else b""
        return binascii.a2b_qp(rest) if rest else b""


def searchable_text(stream: BinaryIO, root: Part, limit: int) -> str:
    """Return the text of all text parts and of nested messages' headers, at most about ``limit`` octets of it.

    Blocks:   as ``stream.read`` does; the stream must seek and hold the octets that ``root`` was scanned from.
    """
    pieces: list[str] = []
    left = limit
    waiting = [root]
    while waiting and left > 0:
        part = waiting.pop()
        if part.message is not None:
            waiting.append(part.message)
            nested = part.message
            stream.seek(nested.header_start)
            text = header_text(stream.read(min(nested.body_start - nested.header_start, _MAX_HEADER, left)))
        elif part.is_multipart:
            waiting.extend(reversed(part.children))
            continue
        elif part.type == b"text":
            text = part_text(stream, part, left)
        else:
            continue
        left -= len(text) + 1
        pieces.append(text)
    return "\n".join(pieces)


def part_text(stream: BinaryIO, part: Part, limit: int) -> str:
    """Return the text of one text part, without markup, of at most about ``limit`` octets. Blocks: as ``stream.read`` does."""
    collected: list[bytes] = []
    size = 0
    for chunk in decoded_body(stream, part):
        collected.append(chunk)
        size += len(chunk)
        if size >= limit:
            break
    data = b"".join(collected)
    if size > limit:
        # Cut between words, so that no character is cut in two and the charset still fits.
        end = max(data.rfind(b"\n", 0, limit), data.rfind(b" ", 0, limit))
        data = data[: end if end > 0 else limit]
    charset = part.parameter(b"charset") or b""
    text = decode_bytes(data, charset.decode("ascii", "replace"))
    return html_text(text) if part.subtype == b"html" else text


def html_text(markup: str) -> str:
    """Return what HTML shows, roughly: for finding words, not for displaying."""
    from html import unescape  # here, since its table of 2,231 names is not needed at start

    # Only behind the tags: a number may stand on both sides of one.
    text = unescape(_LONG_REFERENCE.sub("\ufffd", _TAG.sub("", _INVISIBLE.sub("\n", markup))))
    return _BLANK_LINES.sub("\n", _SPACES.sub(" ", text)).strip()


def header_text(header: bytes) -> str:
    """Return a header section unfolded and decoded, one field per line."""
    lines = [f"{field.name.decode('ascii')}: {decode_header(field.value)}" for field in iterate_fields(header) if field.name]
    return "\n".join(lines)
