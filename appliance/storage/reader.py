"""Rendering a stored message for the index, so that a message no renderer understands is still a message."""

from typing import BinaryIO

from appliance.storage.context import Summariser
from appliance.storage.lineends import IN_MEMORY_BYTES

__all__ = ["render_message"]

Texts = tuple[bytes, bytes, bytes]

NO_ENVELOPE = b"(" + b" ".join([b"NIL"] * 10) + b")"


def render_message(summariser: Summariser, source: "bytes | BinaryIO") -> tuple[int, Texts]:
    """Return the size with CRLF line ends, and envelope, body and body structure."""
    if isinstance(source, bytes):
        return len(source), _render(summariser, source)
    size = source.seek(0, 2)
    source.seek(0)
    if size <= IN_MEMORY_BYTES:
        data = source.read()
        return len(data), _render(summariser, data)
    return size, _render(summariser, source, size)


def _render(summariser: Summariser, source: "bytes | BinaryIO", size: int = 0) -> Texts:
    try:
        rendered = summariser.summarise(source) if isinstance(source, bytes) else summariser.summarise_stream(source)
    except (ValueError, LookupError, ArithmeticError, RecursionError, TypeError, AttributeError):
        # A defect of the renderer must not keep mail from being delivered or listed; the message itself is served as it is.
        length = len(source) if isinstance(source, bytes) else size
        plain = b'"TEXT" "PLAIN" ("CHARSET" "US-ASCII") NIL NIL "7BIT" %d 0' % length
        return NO_ENVELOPE, b"(" + plain + b")", b"(" + plain + b" NIL NIL NIL NIL)"
    return rendered.envelope, rendered.body, rendered.body_structure
