"""HTTP requests and responses as values, and the small helpers that pages are made with.

Owns: which headers every response carries. A response that sets one of them
itself keeps its own. By default a page may load styles and images from its own
origin and nothing else, cannot be framed, sniffed or cached.

Sources: RFC 9110 (semantics, section 6.6.1 Date, 8.8.3 ETag, 13.1.2 If-None-Match),
Content Security Policy Level 3, WHATWG HTML section 9.2 (event streams).
"""

import hashlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

from appliance.net.connection import Connection

__all__ = [
    "SECURITY_HEADERS",
    "Request",
    "Response",
    "StaticFile",
    "error_response",
    "event_stream",
    "html_response",
    "http_date",
    "parse_target",
    "redirect",
    "server_event",
    "text_response",
]

SECURITY_HEADERS: Mapping[str, str] = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
_MOST_FIELDS = 1_000
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_REASONS = {
    400: "Bad request",
    403: "Forbidden",
    404: "Page not found",
    405: "Method not allowed",
    408: "Request timeout",
    413: "Request too large",
    421: "Wrong host name",
    426: "Upgrade required",
    431: "Request header too large",
    500: "Internal error",
    501: "Not implemented",
    503: "Unavailable",
}


@dataclass(frozen=True, slots=True)
class Request:
    """One request, whole. ``path`` is decoded and starts with ``/``; header names are lower case."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b""
    client: str = ""
    secure: bool = False

    def header(self, name: str) -> str:
        """Return a header's value, several joined by commas; ``""`` when it is missing. ``name`` in lower case."""
        return ", ".join([value for known, value in self.headers if known == name])

    def form(self) -> dict[str, str]:
        """Return the fields of a URL-encoded form; the last of equal names. Empty for any other body, or one of over 1,000 fields."""
        kind = self.header("content-type").partition(";")[0].strip().lower()
        if kind != "application/x-www-form-urlencoded":
            return {}
        try:
            return _pairs(self.body.decode("utf-8", "replace"))
        except ValueError:
            return {}


@dataclass(frozen=True, slots=True)
class Response:
    """``body`` is whole, or an async generator of pieces that are sent as they come and closed at the end."""

    status: int = 200
    body: bytes | AsyncGenerator[bytes, None] = b""
    content_type: str = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)
    upgrade: Callable[[Connection, bytes], Awaitable[None]] | None = None
    """With status 101: what goes on with the connection and what was read of it already."""

    def header_list(self) -> list[tuple[str, str]]:
        """Return every header to send but the framing ones; names in lower case."""
        headers = dict(SECURITY_HEADERS)
        if self.content_type:
            headers["content-type"] = self.content_type
        headers |= {name.lower(): value for name, value in self.headers.items()}
        headers["date"] = http_date(time.time())
        if isinstance(self.body, bytes) and self.status not in {204, 304}:
            headers["content-length"] = str(len(self.body))
        return list(headers.items())


def parse_target(target: str) -> tuple[str, dict[str, str]]:
    """Split a request target, in origin or absolute form, into decoded path and query. Raises ValueError."""
    if target.startswith("/"):
        raw_path, _, raw_query = target.partition("?")
        raw_query = raw_query.partition("#")[0]
    elif target.lower().startswith(("http://", "https://")):
        parts = urlsplit(target)
        raw_path, raw_query = parts.path or "/", parts.query
    else:
        raise ValueError("unsupported request target")
    path = unquote(raw_path, errors="strict")
    if any(ord(character) < 32 or ord(character) == 127 for character in path):
        raise ValueError("control characters in the path")
    return path, _pairs(raw_query)


def _pairs(text: str) -> dict[str, str]:
    """Return names and values. Raises ValueError when there are too many."""
    return dict(parse_qsl(text, keep_blank_values=True, errors="replace", max_num_fields=_MOST_FIELDS))


def http_date(now_s: float) -> str:
    """Return an IMF-fixdate (RFC 9110 section 5.6.7) without asking the locale."""
    at = time.gmtime(now_s)
    return f"{_DAYS[at.tm_wday]}, {at.tm_mday:02d} {_MONTHS[at.tm_mon - 1]} {at.tm_year:04d} {at.tm_hour:02d}:{at.tm_min:02d}:{at.tm_sec:02d} GMT"


def text_response(text: str, status: int = 200) -> Response:
    return Response(status, text.encode("utf-8", "replace"))


def html_response(page: str, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(status, page.encode("utf-8", "replace"), "text/html; charset=utf-8", headers or {})


def redirect(location: str) -> Response:
    """Send the browser to a path of ours with GET (303)."""
    assert location.startswith("/")
    assert not location.startswith("//")
    return Response(303, headers={"location": location}, content_type="")


def error_response(status: int, detail: str = "", headers: Mapping[str, str] | None = None) -> Response:
    """Return a small page that says what happened. ``detail`` is shown as text."""
    title = f"{status} {_REASONS.get(status, 'Error')}"
    shown = detail.replace("&", "&amp;").replace("<", "&lt;")
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f'<meta name="color-scheme" content="light dark"><title>{title}</title>'
        f'<main><h1>{title}</h1><p>{shown}</p><p><a href="/">Carteiro</a></p></main></html>\n'
    )
    return html_response(page, status, headers)


@dataclass(frozen=True, slots=True)
class StaticFile:
    """Bytes that stay the same while the server runs, with their ETag."""

    data: bytes
    content_type: str
    etag: str

    @classmethod
    def of(cls, data: bytes, content_type: str) -> "StaticFile":
        return cls(data, content_type, f'"{hashlib.sha256(data).hexdigest()[:24]}"')

    def respond(self, request: Request) -> Response:
        """Return the file, or 304 when the browser has it. Browsers ask again each time: a new version shows at once."""
        headers = {"etag": self.etag, "cache-control": "no-cache"}
        known = [tag.strip().removeprefix("W/") for tag in request.header("if-none-match").split(",")]
        if self.etag in known or "*" in known:
            return Response(304, b"", "", headers)
        return Response(200, self.data, self.content_type, headers)


def server_event(data: str, event: str = "", event_id: str = "") -> bytes:
    """Return one event for an event stream."""
    head = (f"event: {event}\n" if event else "") + (f"id: {event_id}\n" if event_id else "")
    return (head + "".join([f"data: {line}\n" for line in data.splitlines() or [""]]) + "\n").encode()


def event_stream(events: AsyncGenerator[bytes, None]) -> Response:
    """Stream what ``server_event`` made; an empty comment now and then lets dead browsers be noticed."""
    return Response(200, events, "text/event-stream; charset=utf-8", {"x-accel-buffering": "no"})
