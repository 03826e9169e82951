"""What a browser's form sends: fields, each with all of its values, and files.

Owns the limits. Of a form with files the parts are cut out at the boundary, byte
for byte: browsers choose one that is in none of them, and encode nothing.

Fails: never; what is no form has no fields.

Sources: WHATWG URL section 5 (urlencoded), RFC 7578 (multipart/form-data).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl

from appliance.message.header import first_values, split_message
from appliance.message.parameter import parse_disposition, parse_media_type
from appliance.net.http_messages import Request

__all__ = ["File", "Form", "read_form"]

_MOST_FIELDS: Final = 5_000
_MOST_PARTS: Final = 1_000


@dataclass(frozen=True, slots=True)
class File:
    """A file that was chosen. ``name`` as the browser gave it: for showing, never for opening."""

    name: str
    content_type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Form:
    """``values``: of each field, in order."""

    values: dict[str, list[str]] = field(default_factory=dict)
    files: Sequence[File] = ()

    def get(self, name: str) -> str:
        """Return a field's last value, ``""`` when it is missing."""
        return (self.values.get(name) or [""])[-1]

    def all(self, name: str) -> list[str]:
        return self.values.get(name, [])


def read_form(request: Request) -> Form:
    """Return what a form sent."""
    media = parse_media_type(request.header("content-type").encode("latin-1", "replace"))
    if media is None:
        return Form()
    kind, subtype, parameters = media
    if (kind, subtype) == (b"application", b"x-www-form-urlencoded"):
        try:
            pairs = parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
        except ValueError:
            return Form()
        values: dict[str, list[str]] = {}
        for name, value in pairs:
            values.setdefault(name, []).append(value)
        return Form(values)
    boundary = dict(parameters).get(b"boundary", b"")
    return _parts(request.body, boundary) if (kind, subtype) == (b"multipart", b"form-data") and boundary else Form()


def _parts(body: bytes, boundary: bytes) -> Form:
    values: dict[str, list[str]] = {}
    files: list[File] = []
    for piece in (b"\r\n" + body).split(b"\r\n--" + boundary, _MOST_PARTS)[1:]:
        if not piece.startswith(b"\r\n"):
            break
        header, data = split_message(piece[2:])
        fields = first_values(header, {b"content-disposition", b"content-type"})
        disposition = parse_disposition(fields.get(b"content-disposition", b""))
        if disposition is None:
            continue
        named = {key: value.decode("utf-8", "replace") for key, value in disposition[1]}
        name = named.get(b"name", "")
        if b"filename" not in named:
            values.setdefault(name, []).append(data.decode("utf-8", "replace"))
        elif named[b"filename"]:
            content_type = fields.get(b"content-type", b"").decode("latin-1").strip()
            files.append(File(named[b"filename"].replace("%22", '"'), content_type or "application/octet-stream", data))
    return Form(values, tuple(files))
