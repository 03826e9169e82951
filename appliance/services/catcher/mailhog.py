"""MailHog's interface, versions 1 and 2, beside Mailpit's on the same port.

Owns its odd ways, which its clients know: what is told of a message that is not
there, the limits, and the form of messages: the envelope first, fields still
encoded, parts cut apart as plain text.

Sources: MailHog's API, as recorded from the program.
"""

import base64
import binascii
import dataclasses
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Final

from appliance.message.date import format_date
from appliance.message.header import HeaderSection, split_message
from appliance.message.parameter import parse_media_type
from appliance.message.text import decode_bytes
from appliance.model.caught import CaughtSummary, Term
from appliance.net.http_messages import Request, Response, event_stream, server_event
from appliance.net.websocket import websocket_response
from appliance.policy.caught_faults import Faults, Jim
from appliance.services.catcher.desk import Desk, number_of
from appliance.services.catcher.gobody import BodyError, Shape, read_body
from appliance.services.catcher.gojson import dump, json_response, time_of
from appliance.services.catcher.hub import Event, event_bytes
from appliance.services.catcher.releasing import ReleaseError
from appliance.services.catcher.routes import Routes
from appliance.services.catcher.sending import Sending

__all__ = ["MailHogApi", "message_shape"]

_TEXT: Final = "text/json"
_MOST: Final = 250
_MOST_V1: Final = 1_000
_KEEP_ALIVE_S: Final = 60.0
_MAX_PARTS: Final = 1_000
_MAX_DEPTH: Final = 20
_MOST_SERVERS: Final = 100
_SERVER: Final[Shape] = {
    "Name": str,
    "Save": bool,
    "Email": str,
    "Host": str,
    "Port": str,
    "Username": str,
    "Password": str,
    "Mechanism": str,
}


def _path(address: str) -> dict[str, Any]:
    local_part, _, domain = address.rpartition("@") if "@" in address else (address, "", "")
    return {"Relays": None, "Mailbox": local_part, "Domain": domain, "Params": ""}


def _fields(header: bytes) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for field in HeaderSection(header, max_fields=10_000).fields:
        if field.name:
            found.setdefault(field.name.decode("latin-1"), []).append(decode_bytes(field.value))
    return found


def _boundary(headers: Mapping[str, list[str]]) -> bytes:
    value = next((values[0] for name, values in headers.items() if name.lower() == "content-type"), "")
    media = parse_media_type(value.encode("utf-8", "replace"))
    if media is None or media[0] != b"multipart":
        return b""
    return dict(media[2]).get(b"boundary", b"")


def _parts(body: bytes, boundary: bytes, depth: int = 0) -> dict[str, Any] | None:
    """Cut a body at its boundary, as plain text: the preamble is a part, and so is what follows the end mark's dashes."""
    if not boundary or depth > _MAX_DEPTH:
        return None
    pieces = body.split(b"--" + boundary)[:_MAX_PARTS]
    if pieces and not pieces[0].strip():
        del pieces[0]
    return {"Parts": [_content(_trimmed(piece), depth + 1) for piece in pieces]}


def _trimmed(piece: bytes) -> bytes:
    return piece.strip(b"\r\n") if piece.startswith(b"\r\n") else piece


def _content(data: bytes, depth: int) -> dict[str, Any]:
    header, body = split_message(data)
    headers = _fields(header) if body or b":" in header else {}
    shown = body if headers else data
    return {"Headers": headers, "Body": decode_bytes(shown), "Size": len(data), "MIME": _parts(body, _boundary(headers), depth)}


def message_shape(summary: CaughtSummary, data: bytes, hostname: str) -> dict[str, Any]:
    """Return a Message."""
    envelope, message_id = summary.envelope, f"{summary.id}=@{hostname}"
    data = data.removesuffix(b"\r\n")
    header, body = split_message(data)
    headers = _fields(header)
    known = {name.lower() for name in headers}
    at, when = time_of(summary.created_ms), format_date(summary.created_ms / 1_000).decode("ascii")
    helo = "" if envelope.protocol.startswith("E") else envelope.helo  # that program forgets what EHLO said
    if "message-id" not in known:
        headers["Message-ID"] = [f"<{message_id}>"]
    headers["Received"] = [*headers.get("Received", []), f"from {helo} by {hostname} (MailHog)\r\n          id {message_id}; {when}"]
    headers["Return-Path"] = [f"<{envelope.reverse_path}>"]
    mime = _parts(body, _boundary(headers))
    return {
        "ID": message_id,
        "From": _path(envelope.reverse_path),
        "To": [_path(one) for one in envelope.recipients],
        "Content": {"Headers": dict(sorted(headers.items())), "Body": decode_bytes(body), "Size": len(data), "MIME": None},
        "Created": at,
        "MIME": mime,
        "Raw": {
            "From": envelope.reverse_path,
            "To": list(envelope.recipients),
            "Data": decode_bytes(data),
            "Helo": helo,
        },
    }


class MailHogApi:
    """See the module."""

    def __init__(self, desk: Desk, faults: Faults, sending: Sending) -> None:
        self._desk = desk
        self._faults = faults
        self._sending = sending
        self._servers: dict[str, dict[str, Any]] = {}

    def add_to(self, routes: Routes) -> None:
        """Answer this interface's own paths; ``/api/v1/messages`` is shared with Mailpit's."""
        one = "/api/v1/messages/{id}"
        routes.add("GET", one, self._message)
        routes.add("DELETE", one, self._delete)
        routes.add("GET", f"{one}/download", self._download)
        routes.add("GET", f"{one}/mime/part/{{number}}/download", self._part)
        routes.add("POST", f"{one}/release", self._release)
        routes.add("GET", "/api/v1/events", self._stream)
        routes.add("GET", "/api/v2/messages", self._messages)
        routes.add("GET", "/api/v2/search", self._search)
        routes.add("GET", "/api/v2/jim", self._jim)
        routes.add("POST", "/api/v2/jim", self._start_jim)
        routes.add("PUT", "/api/v2/jim", self._change_jim)
        routes.add("DELETE", "/api/v2/jim", self._stop_jim)
        routes.add("GET", "/api/v2/outgoing-smtp", self._known_servers)
        routes.add("GET", "/api/v2/websocket", self._events)

    async def _shape(self, summary: CaughtSummary) -> dict[str, Any]:
        return message_shape(summary, await self._desk.data(summary), self._desk.hostname)

    async def _find(self, values: Mapping[str, str]) -> CaughtSummary | None:
        return await self._desk.catcher.summary(values["id"].partition("@")[0].rstrip("="))

    # Lists

    async def all_messages(self, _request: Request, _values: dict[str, str]) -> Response:
        found = await self._desk.latest(limit=_MOST_V1)
        return json_response([await self._shape(summary) for summary in found], content_type=_TEXT, end="")

    async def delete_all(self, _request: Request, _values: dict[str, str]) -> Response:
        await self._desk.catcher.delete(None)
        return _empty(200, _TEXT)

    async def _messages(self, request: Request, _values: dict[str, str]) -> Response:
        return await self._page(request, (), _TEXT)

    async def _search(self, request: Request, _values: dict[str, str]) -> Response:
        kind, query = request.query.get("kind", ""), request.query.get("query", "").lower()
        key = {"from": "envelope-from", "to": "envelope-to", "containing": "text"}.get(kind)
        if key is None or not query:
            return _empty(400)
        return await self._page(request, (Term(key, query),), "application/json")

    async def _page(self, request: Request, terms: Sequence[Term], content_type: str) -> Response:
        start = max(number_of(request.query, "start", 0), 0)
        limit = number_of(request.query, "limit", 0)
        limit = 50 if limit <= 0 else min(limit, _MOST)
        found = await self._desk.latest(terms, start=start, limit=limit)
        total = (await self._desk.catcher.offload.run(self._desk.catcher.store.matching, terms)).total
        items = [await self._shape(summary) for summary in found]
        return json_response({"total": total, "count": len(items), "start": start, "items": items}, content_type=content_type, end="")

    # One message

    async def _message(self, _request: Request, values: dict[str, str]) -> Response:
        summary = await self._find(values)
        return json_response(await self._shape(summary) if summary is not None else None, content_type=_TEXT, end="")

    async def _delete(self, _request: Request, values: dict[str, str]) -> Response:
        summary = await self._find(values)
        if summary is None or not await self._desk.catcher.delete([summary.id]):
            return _empty(500, _TEXT)
        return _empty(200, _TEXT)

    async def _download(self, _request: Request, values: dict[str, str]) -> Response:
        summary = await self._find(values)
        if summary is None:
            return _empty(404)
        headers = {"content-disposition": f'attachment; filename="{summary.id}=@{self._desk.hostname}.eml"'}
        return Response(200, await self._desk.data(summary), "message/rfc822", headers)

    async def _part(self, _request: Request, values: dict[str, str]) -> Response:
        summary = await self._find(values)
        if summary is None:
            return _empty(404)
        shape = await self._shape(summary)
        parts = (shape["MIME"] or {"Parts": []})["Parts"]
        number = number_of(values, "number", -1)
        if not 0 <= number < len(parts):
            return _empty(404)
        part = parts[number]
        headers = {name.lower(): values[0] for name, values in part["Headers"].items() if "\r" not in values[0] and "\n" not in values[0]}
        data = part["Body"].encode("utf-8", "replace")
        if headers.get("content-transfer-encoding", "").strip().lower() == "base64":
            data = _decoded(data)
        shown = {
            "content-disposition": headers.get("content-disposition", f'attachment; filename="{shape["ID"]}-part-{number}"'),
            # Whatever the part says it is, it is not shown with this page's rights.
            "content-security-policy": "sandbox; default-src 'none'",
        }
        return Response(200, data, _safe(headers.get("content-type", "text/plain")), {name: _safe(value) for name, value in shown.items()})

    async def _release(self, request: Request, values: dict[str, str]) -> Response:
        summary = await self._find(values)
        if summary is None:
            return _empty(404)
        try:
            given = {name: kind() for name, kind in _SERVER.items()} | read_body(request.body, _SERVER)
        except BodyError:
            return Response(500, b"Error decoding request body", _TEXT)
        server = self._server_of(given)
        if server is None or ((server["Username"] or server["Password"]) and server["Mechanism"] not in {"PLAIN", "CRAMMD5"}):
            return _empty(400, _TEXT)
        address = given["Email"] or server["Email"]
        if self._sending.release is None or "@" not in address:
            return _empty(500, _TEXT)
        try:
            await self._sending.release.send(await self._desk.data(summary), summary.envelope.reverse_path, [address])
        except ReleaseError:
            return _empty(500, _TEXT)
        return _empty(200, _TEXT)

    def _server_of(self, given: dict[str, Any]) -> dict[str, Any] | None:
        """Return what is known under the name given, or what was given; None for an unknown name, or a known one to be saved."""
        name = given["Name"]
        if given["Save"]:
            if name in self._servers or len(self._servers) >= _MOST_SERVERS:
                return None
            self._servers[name] = given
        return self._servers.get(name) if name else given

    # Chaos

    async def _jim(self, _request: Request, _values: dict[str, str]) -> Response:
        jim = self._faults.jim
        return _empty(404) if jim is None else json_response(dataclasses.asdict(jim), end="")

    async def _start_jim(self, request: Request, _values: dict[str, str]) -> Response:
        if self._faults.jim is not None:
            return _empty(400)
        try:
            self._faults.jim = _jim_of(request)
        except BodyError:
            self._faults.jim = Jim()
        return _empty(201)

    async def _change_jim(self, request: Request, _values: dict[str, str]) -> Response:
        if self._faults.jim is None:
            return _empty(404)
        try:
            self._faults.jim = _jim_of(request)
        except BodyError:
            return _empty(400)
        return _empty(200)

    async def _stop_jim(self, _request: Request, _values: dict[str, str]) -> Response:
        if self._faults.jim is None:
            return _empty(404)
        self._faults.jim = None
        return _empty(200)

    async def _known_servers(self, _request: Request, _values: dict[str, str]) -> Response:
        return json_response(self._servers, end="")

    # Events

    async def _stream(self, _request: Request, _values: dict[str, str]) -> Response:
        return event_stream(event_bytes(self._desk.catcher.hub, _KEEP_ALIVE_S, self._told))

    async def _events(self, request: Request, _values: dict[str, str]) -> Response:
        return websocket_response(request, self._texts)

    async def _texts(self) -> AsyncGenerator[str, None]:
        listening = self._desk.catcher.hub.open()
        try:
            async for event in listening.events:
                if isinstance(event.data, CaughtSummary):
                    yield dump(await self._shape(event.data))
        finally:
            listening.close()

    async def _told(self, event: Event) -> bytes:
        return server_event(dump(await self._shape(event.data))) if isinstance(event.data, CaughtSummary) else b""


def _empty(status: int, content_type: str = "") -> Response:
    return Response(status, b"", content_type)


def _safe(value: str) -> str:
    return "".join([character for character in value if " " <= character <= "~"])


def _decoded(data: bytes) -> bytes:
    try:
        return base64.b64decode(data, validate=False)
    except (binascii.Error, ValueError):
        return data


def _jim_of(request: Request) -> Jim:
    """Return a monkey of what a body says; what it leaves out is 0. Raises BodyError."""
    names = [field.name for field in dataclasses.fields(Jim)]
    return Jim(**(dict.fromkeys(names, 0.0) | read_body(request.body, dict.fromkeys(names, float))))
