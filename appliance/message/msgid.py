"""Message identifiers in their one normal form, for telling which message answers which.

Owns finding them in Message-ID, References and In-Reply-To, whatever stands
between them, and taking quoting away.

Fails: never; what is no identifier is not found.

Sources: RFC 5322 section 3.6.4, RFC 5256 section 3 (THREAD, note on "Message ID").
"""

import re

__all__ = ["MAX_REFERENCES", "message_ids", "parent_ids"]

MAX_REFERENCES = 10_000
_QUOTED = re.compile(rb'"((?:[^"\\]|\\.)*)"(@.+)', re.DOTALL)
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
_MAX_VALUE = 1_048_576


def message_ids(value: bytes, most: int = MAX_REFERENCES) -> list[bytes]:
    """Return the identifiers of a field value in order, without angle brackets and quoting; the last ``most`` of them."""
    found = []
    for piece in value[:_MAX_VALUE].split(b"<")[1:]:
        raw, closed, _ = piece.partition(b">")
        raw = raw.strip(b" \t\r\n")
        if closed and 0 < raw.find(b"@") < len(raw) - 1:
            found.append(_normal(raw))
    return found[-most:]


def _normal(raw: bytes) -> bytes:
    quoted = _QUOTED.fullmatch(raw) if raw.startswith(b'"') else None
    return raw if quoted is None else _ESCAPED.sub(rb"\1", quoted.group(1)) + quoted.group(2)


def parent_ids(references: bytes, in_reply_to: bytes) -> list[bytes]:
    """Return a message's ancestors, the nearest last: its References, else the first identifier of In-Reply-To."""
    return message_ids(references) or message_ids(in_reply_to)[:1]
