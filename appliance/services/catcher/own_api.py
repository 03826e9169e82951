"""Our own interface: everything that is known of a message, and waiting for one on the server instead of asking again and again.

Owns its shapes, which ``openapi.json`` describes.

Sources: OpenAPI 3.1, WHATWG HTML section 9.2 (event streams), RFC 9110 section 15.5.9 (408).
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from importlib.resources import files
from typing import Any, Final

import trio

from appliance.message.extract import find_codes
from appliance.model.caught import CaughtSummary, Person
from appliance.net.http_messages import Request, Response, event_stream, server_event
from appliance.policy.caught_faults import Faults
from appliance.policy.caught_profile import ProfileError, change_profile, profile_of
from appliance.policy.link_check import find_links
from appliance.services.catcher.desk import Desk, ParameterError, number_within, whole_within
from appliance.services.catcher.gojson import dump, json_response, time_of
from appliance.services.catcher.hub import Event, event_bytes
from appliance.services.catcher.routes import Routes
from appliance.services.catcher.truth import differences
from appliance.services.catcher.words import WORDS

__all__ = ["OwnApi", "summary_shape"]

_BASE: Final = "/api/carteiro/v1"
_MAX_WAIT_S: Final = 55
_MAX_START: Final = 1_000_000_000
_MAX_COUNT: Final = 1_000
_KEEP_ALIVE_S: Final = 30.0


def _persons(persons: Sequence[Person]) -> list[dict[str, str]]:
    return [person._asdict() for person in persons]


def summary_shape(summary: CaughtSummary) -> dict[str, Any]:
    """Return a message as lists have it."""
    return {
        "id": summary.id,
        "inbox": summary.inbox,
        "created": time_of(summary.created_ms),
        "read": summary.read,
        "size": summary.size,
        "message_id": summary.message_id,
        "from": summary.sender._asdict() if summary.sender else None,
        "to": _persons(summary.to),
        "cc": _persons(summary.cc),
        "bcc": _persons(summary.bcc),
        "reply_to": _persons(summary.reply_to),
        "subject": summary.subject,
        "snippet": summary.snippet,
        "attachments": summary.attachments,
        "tags": list(summary.tags),
        "envelope": asdict(summary.envelope),
        "hidden_recipients": list(summary.hidden),
    }


class OwnApi:
    """See the module."""

    def __init__(self, desk: Desk, faults: Faults) -> None:
        self._desk = desk
        self._faults = faults

    def add_to(self, routes: Routes) -> None:
        routes.add("GET", f"{_BASE}/messages", self._messages)
        routes.add("DELETE", f"{_BASE}/messages", self._delete)
        routes.add("GET", f"{_BASE}/messages/{{id}}", self._message)
        routes.add("DELETE", f"{_BASE}/messages/{{id}}", self._delete_one)
        routes.add("GET", f"{_BASE}/messages/{{id}}/raw", self._raw)
        routes.add("GET", f"{_BASE}/wait", self._wait)
        routes.add("GET", f"{_BASE}/events", self._events)
        routes.add("GET", f"{_BASE}/faults", self._show_faults)
        routes.add("PUT", f"{_BASE}/faults", self._set_faults)
        routes.add("GET", f"{_BASE}/openapi.json", self._specification)

    async def _messages(self, request: Request, _values: dict[str, str]) -> Response:
        terms = self._desk.terms(request.query.get("query", ""), request.query.get("tz", ""))
        try:
            start = whole_within(request.query, "start", 0, 0, _MAX_START)
            limit = whole_within(request.query, "limit", 50, 1, _MAX_COUNT)
        except ParameterError as error:
            return _error(400, str(error))
        found = await self._desk.latest(terms, start=start, limit=limit)
        counts = await self._desk.catcher.offload.run(self._desk.catcher.store.matching, terms)
        return json_response(
            {"total": counts.total, "unread": counts.unread, "start": start, "messages": [summary_shape(summary) for summary in found]}
        )

    async def _delete(self, request: Request, _values: dict[str, str]) -> Response:
        query = request.query.get("query", "")
        catcher = self._desk.catcher
        await catcher.settled()
        ids = await catcher.offload.run(catcher.store.find, self._desk.terms(query)) if query else None
        count = await catcher.delete(ids) if ids is None or ids else 0
        return json_response({"deleted": count})

    async def _message(self, request: Request, values: dict[str, str]) -> Response:
        summary = await self._desk.find(values["id"], request.query)
        return await self._whole(summary) if summary is not None else _error(404, "no such message")

    async def _whole(self, summary: CaughtSummary) -> Response:
        return json_response(await self._shape(summary))

    async def _shape(self, summary: CaughtSummary) -> dict[str, Any]:
        """Return everything that is known of a message."""
        reading = await self._desk.reading(summary)
        catcher = self._desk.catcher
        told = await catcher.offload.run(catcher.store.conversation, summary.number)
        text = reading.text()
        return summary_shape(summary) | {
            "text": text,
            "html": reading.html(),
            "sha256": hashlib.sha256(reading.data).hexdigest(),
            "codes": find_codes(text, summary.subject),
            "links": find_links(reading.html(), text if reading.texts else ""),
            "differences": differences(summary, WORDS["en"]),
            "conversation": [{"at_s": at, "side": side, "line": line} for at, side, line in (json.loads(told) if told else [])],
            "parts": [
                {"part_id": leaf.part_id, "name": leaf.name, "content_type": leaf.content_type, "attached": leaf.is_attached}
                for leaf in reading.leaves
            ],
        }

    async def _delete_one(self, _request: Request, values: dict[str, str]) -> Response:
        count = await self._desk.catcher.delete([values["id"]])
        return json_response({"deleted": count}) if count else _error(404, "no such message")

    async def _raw(self, request: Request, values: dict[str, str]) -> Response:
        summary = await self._desk.find(values["id"], request.query)
        if summary is None:
            return _error(404, "no such message")
        return Response(200, await self._desk.data(summary), "message/rfc822")

    # Waiting

    async def _wait(self, request: Request, _values: dict[str, str]) -> Response:
        """Answer when so many messages match, or with 408 when time is up."""
        try:
            count = whole_within(request.query, "count", 1, 1, _MAX_COUNT)
            timeout_s = number_within(request.query, "timeout", 10, 0, _MAX_WAIT_S)
        except ParameterError as error:
            return _error(400, str(error))
        terms = self._desk.terms(request.query.get("query", ""), request.query.get("tz", ""))
        with self._desk.catcher.hub.listen() as events:
            # What is there already is found without any time, too.
            found = await self._desk.latest(terms, limit=count)
            with trio.move_on_after(timeout_s):
                while len(found) < count:
                    await events.receive()
                    found = await self._desk.latest(terms, limit=count)
        status = 200 if len(found) >= count else 408
        return json_response({"messages": [await self._shape(summary) for summary in found]}, status)

    async def _events(self, _request: Request, _values: dict[str, str]) -> Response:
        return event_stream(event_bytes(self._desk.catcher.hub, _KEEP_ALIVE_S, self._told))

    @staticmethod
    async def _told(event: Event) -> bytes:
        data = summary_shape(event.data) if isinstance(event.data, CaughtSummary) else event.data
        return server_event(dump(data), event.kind)

    # Faults

    async def _show_faults(self, _request: Request, _values: dict[str, str]) -> Response:
        return json_response(profile_of(self._faults))

    async def _set_faults(self, request: Request, _values: dict[str, str]) -> Response:
        """Set what is named, leave the rest."""
        try:
            change_profile(self._faults, json.loads(request.body))
        except ProfileError as error:
            return _error(400, str(error))
        except (ValueError, RecursionError):
            return _error(400, "the body is no JSON")
        return json_response(profile_of(self._faults))

    async def _specification(self, _request: Request, _values: dict[str, str]) -> Response:
        return Response(200, files("appliance.services.catcher").joinpath("openapi.json").read_bytes(), "application/json")


def _error(status: int, text: str) -> Response:
    return json_response({"error": text}, status)
