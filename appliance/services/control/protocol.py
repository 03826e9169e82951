"""The control socket's language: JSON objects, one per line, both ways.

A request is one line, at most 64 KiB: ``{"command": "queue.list", ...}``. The
answer is any number of ``{"item": ...}`` lines and one last line, either
``{"ok": true, "result": {...}}`` or ``{"ok": false, "error": "words"}``. A connection takes
one request after another until either side closes.

Fails: ProtocolError for a line that is no request.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["MAX_REQUEST_BYTES", "ProtocolError", "Request", "decode_line", "encode_line", "parse_request"]

MAX_REQUEST_BYTES: Final = 65_536


class ProtocolError(Exception):
    """A line that cannot be understood; its text may be shown to the peer."""


@dataclass(frozen=True, slots=True)
class Request:
    """One command and its arguments."""

    command: str
    arguments: Mapping[str, Any]


def encode_line(value: Mapping[str, Any]) -> bytes:
    """Return the line, line end included; ASCII whatever the text is."""
    return json.dumps(value, separators=(",", ":")).encode("ascii") + b"\n"


def decode_line(line: bytes) -> dict[str, Any]:
    """Return the object of a line. Raises ProtocolError."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ProtocolError("not a JSON line") from error
    if not isinstance(value, dict):
        raise ProtocolError("not a JSON object")
    return value


def parse_request(line: bytes) -> Request:
    """Return the request of a line. Raises ProtocolError."""
    value = decode_line(line)
    command = value.pop("command", None)
    if not isinstance(command, str):
        raise ProtocolError("no command")
    return Request(command, value)
