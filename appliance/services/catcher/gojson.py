r"""JSON and times exactly as the programs write them whose clients must not notice a difference.

Their encoder escapes what could end a script (``<``, ``>``, ``&``) and two line
separators, leaves other Unicode as it is, and uses no blanks.

Sources: RFC 8259; the recordings of Mailpit and MailHog that the tests replay.
"""

import json
from datetime import UTC, datetime
from typing import Any

from appliance.net.http_messages import Response

__all__ = ["dump", "json_response", "plain", "time_of"]

_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
_TABLE = str.maketrans(_ESCAPES)


def dump(value: Any) -> str:
    """Return JSON; lone surrogates become the replacement character."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.translate(_TABLE).encode("utf-8", "replace").decode()


def json_response(value: Any, status: int = 200, *, content_type: str = "application/json", end: str = "\n") -> Response:
    return Response(status, (dump(value) + end).encode(), content_type)


def plain(text: str, status: int = 200, *, charset: bool = False) -> Response:
    """Return a short text, as errors and ``ok`` are told."""
    return Response(status, text.encode("utf-8", "replace"), "text/plain; charset=utf-8" if charset else "text/plain")


def time_of(milliseconds: float, moment: datetime | None = None) -> str:
    """Return RFC 3339 with as many digits as it takes; of ``moment`` in its own zone when one is given."""
    at = moment or datetime.fromtimestamp(milliseconds / 1_000, UTC)
    fraction = f".{at.microsecond:06d}".rstrip("0").rstrip(".") if moment else f".{int(milliseconds) % 1_000:03d}".rstrip("0").rstrip(".")
    zone = at.strftime("%z")
    return at.strftime("%Y-%m-%dT%H:%M:%S") + fraction + ("Z" if zone in {"", "+0000"} else f"{zone[:3]}:{zone[3:5]}")
