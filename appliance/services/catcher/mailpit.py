"""Mailpit's interface, version 1: lists, searches, changes, tags, what the program says of itself, events.

Owns the behaviour that its clients rely on: what deletes everything, what is
ignored, in which words errors are told.

Sources: Mailpit's API, as recorded from the program; RFC 9110.
"""

import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any, Final

from appliance import __version__
from appliance.message.reading import clean_tag
from appliance.model.caught import CaughtSummary
from appliance.net.http_messages import Request, Response
from appliance.net.websocket import websocket_response
from appliance.policy.caught_faults import CHAOS_DEFAULTS, ChaosError, Faults
from appliance.services.catcher.desk import Desk, number_of
from appliance.services.catcher.gobody import BodyError, Shape, read_body
from appliance.services.catcher.gojson import dump, json_response, plain
from appliance.services.catcher.hub import Event
from appliance.services.catcher.mailpit_shapes import summary_shape
from appliance.services.catcher.metrics import metrics_text
from appliance.services.catcher.routes import Routes

__all__ = ["MAX_BODY", "MailpitApi"]

MAX_BODY: Final = 5_242_880
_PAGE: Final = 50
_STATS_S: Final = 0.25
_FRAGMENTS: Final = 200
_MARK: Final[Shape] = {"Read": bool, "IDs": [str], "Search": str}
_IDS: Final[Shape] = {"IDs": [str]}
_TAGS: Final[Shape] = {"Tags": [str], "IDs": [str]}
_TRIGGER: Final[Shape] = {"ErrorCode": int, "Probability": int}


class _ProblemError(Exception):
    """An error to tell, in plain words, with 400."""


class MailpitApi:
    """See the module. ``relay`` says where released messages go, None when nowhere."""

    def __init__(
        self,
        desk: Desk,
        faults: Faults,
        started_at_s: float,
        relay: Mapping[str, Any] | None = None,
        label: str = "",
        server_metrics: Callable[[], Awaitable[str]] | None = None,
    ) -> None:
        self._desk = desk
        self._catcher = desk.catcher
        self._faults = faults
        self._started_at_s = started_at_s
        self._relay = relay
        self._label = label
        self._server_metrics = server_metrics
        self._fragments: dict[tuple[int, bool], tuple[CaughtSummary, str]] = {}

    def add_to(self, routes: Routes) -> None:
        """Answer this interface's paths; ``GET`` and ``DELETE /api/v1/messages`` belong to two interfaces and are added by who tells them apart."""
        routes.add("PUT", "/api/v1/messages", self.told(self._mark))
        routes.add("GET", "/api/v1/search", self.told(self._search))
        routes.add("DELETE", "/api/v1/search", self.told(self._delete_found))
        routes.add("GET", "/api/v1/tags", self.told(self._tags))
        routes.add("PUT", "/api/v1/tags", self.told(self._set_tags))
        routes.add("PUT", "/api/v1/tags/{tag}", self.told(self._rename_tag))
        routes.add("DELETE", "/api/v1/tags/{tag}", self.told(self._delete_tag))
        routes.add("GET", "/api/v1/info", self.told(self._info))
        routes.add("GET", "/api/v1/webui", self.told(self._webui))
        routes.add("GET", "/api/v1/chaos", self.told(self._chaos))
        routes.add("PUT", "/api/v1/chaos", self.told(self._set_chaos))
        routes.add("GET", "/api/events", self._events)
        routes.add("GET", "/metrics", self._metrics)

    @staticmethod
    def told(
        handler: Callable[[Request, dict[str, str]], Awaitable[Response]],
    ) -> Callable[[Request, dict[str, str]], Awaitable[Response]]:
        """Turn problems into their answers."""

        async def answer(request: Request, values: dict[str, str]) -> Response:
            try:
                return await handler(request, values)
            except (_ProblemError, BodyError) as problem:
                return plain(str(problem), 400)

        return answer

    # Lists

    async def messages(self, request: Request, _values: dict[str, str]) -> Response:
        return await self._page(request.query, "", searched=False)

    async def _search(self, request: Request, _values: dict[str, str]) -> Response:
        return await self._page(request.query, _needed(request), searched=True)

    async def _page(self, values: Mapping[str, str], query: str, *, searched: bool) -> Response:
        terms = self._desk.terms(query, values.get("tz", ""))
        start = max(number_of(values, "start", 0), 0)
        limit = number_of(values, "limit", _PAGE)
        found = await self._desk.latest(terms, start=start, limit=limit if limit >= 0 else _PAGE, before_ms=self._desk.before_ms(values))
        store, run = self._catcher.store, self._catcher.offload.run
        counts = await run(store.counts)
        matching = await run(store.matching, terms) if terms else counts
        head = dump(
            {
                "total": counts.total,
                "unread": counts.unread,
                "count": len(found),
                "messages_count": matching.total,
                "messages_unread": matching.unread,
                "start": start,
                "tags": list(await run(store.tags)),
            }
        )
        messages = ",".join([self._fragment(summary, searched=searched) for summary in found])
        return Response(200, f'{head[:-1]},"messages":[{messages}]}}\n'.encode(), "application/json")

    def _fragment(self, summary: CaughtSummary, *, searched: bool) -> str:
        """Return a summary's JSON; that of the same summary is remembered."""
        key = (summary.number, searched)
        known = self._fragments.get(key)
        if known is None or known[0] is not summary:
            if len(self._fragments) >= _FRAGMENTS:
                self._fragments.clear()
            known = self._fragments[key] = (summary, dump(summary_shape(summary, self.size(summary), searched=searched)))
        return known[1]

    def size(self, summary: CaughtSummary) -> int:
        """Return how large Mailpit would find the message."""
        return len(self._desk.prefix(summary)) + summary.size

    # Changes

    async def _mark(self, request: Request, _values: dict[str, str]) -> Response:
        body = read_body(request.body, _MARK)
        ids, query, read = body.get("IDs", []), body.get("Search", "").strip(), body.get("Read", False)
        if ids and query:
            raise _ProblemError("You may specify either IDs or a search query, not both")
        if query:
            ids = await self._found(query, request)
            if not ids:
                return plain("ok")
        await self._catcher.set_read(ids or None, read=read)
        return plain("ok")

    async def delete(self, request: Request, _values: dict[str, str]) -> Response:
        """Delete messages; a body that names none, or cannot be read, names all."""
        try:
            ids = read_body(request.body, _IDS).get("IDs")
        except BodyError:
            ids = None
        await self._catcher.delete(ids or None)
        return plain("ok")

    async def _delete_found(self, request: Request, _values: dict[str, str]) -> Response:
        ids = await self._found(_needed(request), request)
        if ids:
            await self._catcher.delete(ids)
        return plain("ok")

    async def _found(self, query: str, request: Request) -> list[str]:
        terms = self._desk.terms(query, request.query.get("tz", ""))
        await self._catcher.settled()
        return await self._catcher.offload.run(self._catcher.store.find, terms)

    # Tags

    async def _tags(self, _request: Request, _values: dict[str, str]) -> Response:
        await self._catcher.settled()
        return json_response(list(await self._catcher.offload.run(self._catcher.store.tags)))

    async def _set_tags(self, request: Request, _values: dict[str, str]) -> Response:
        body = read_body(request.body, _TAGS)
        tags = list(dict.fromkeys([tag for tag in map(clean_tag, body.get("Tags", [])) if tag]))
        await self._catcher.set_tags(body.get("IDs", []), tags)
        return plain("ok")

    async def _rename_tag(self, request: Request, values: dict[str, str]) -> Response:
        new = clean_tag(read_body(request.body, {"Name": str}).get("Name", ""))
        if not new:
            raise _ProblemError(f"invalid tag name: {new}")
        if new == values["tag"]:
            return plain("ok")
        old = await self._known_tag(values["tag"])
        if new.lower() != old.lower() and await self._has_tag(new):
            raise _ProblemError(f"tag already exists: {new}")
        await self._catcher.retag(old, new)
        return plain("ok")

    async def _delete_tag(self, _request: Request, values: dict[str, str]) -> Response:
        await self._catcher.retag(await self._known_tag(values["tag"]), "")
        return plain("ok")

    async def _known_tag(self, tag: str) -> str:
        if not await self._has_tag(tag):
            raise _ProblemError(f"tag not found: {tag}")
        return tag

    async def _has_tag(self, tag: str) -> bool:
        await self._catcher.settled()
        known = await self._catcher.offload.run(self._catcher.store.tags)
        return tag.lower() in {name.lower() for name in known}

    # The program itself

    async def _info(self, _request: Request, _values: dict[str, str]) -> Response:
        await self._catcher.settled()
        store, run, statistics = self._catcher.store, self._catcher.offload.run, self._catcher.statistics
        counts = await run(store.counts)
        return json_response(
            {
                "Version": f"carteiro-{__version__}",
                "LatestVersion": "disabled",
                "Database": str(store.path),
                "DatabaseSize": await run(store.file_bytes),
                "Messages": counts.total,
                "Unread": counts.unread,
                "Tags": await run(store.tags),
                "RuntimeStats": {
                    "Uptime": int(self._catcher.clock.now_s() - self._started_at_s),
                    "Memory": memory_bytes(),
                    "MessagesDeleted": statistics.deleted,
                    "SMTPAccepted": statistics.accepted,
                    "SMTPAcceptedSize": statistics.accepted_bytes,
                    "SMTPRejected": statistics.rejected,
                    "SMTPIgnored": statistics.ignored,
                },
            }
        )

    async def _metrics(self, _request: Request, _values: dict[str, str]) -> Response:
        await self._catcher.settled()
        store, run, statistics = self._catcher.store, self._catcher.offload.run, self._catcher.statistics
        counts = await run(store.counts)
        values: dict[str, float] = {
            "database_size_bytes": await run(store.file_bytes),
            "memory_usage_bytes": memory_bytes(),
            "messages": counts.total,
            "messages_deleted_total": statistics.deleted,
            "messages_unread": counts.unread,
            "smtp_accepted_size_bytes_total": statistics.accepted_bytes,
            "smtp_accepted_total": statistics.accepted,
            "smtp_ignored_total": statistics.ignored,
            "smtp_rejected_total": statistics.rejected,
            "uptime_seconds": self._catcher.clock.now_s() - self._started_at_s,
        }
        text = metrics_text(values, await run(store.tags))
        if self._server_metrics is not None:
            text += await self._server_metrics()
        return Response(200, text.encode(), "text/plain; version=0.0.4; charset=utf-8")

    async def _webui(self, _request: Request, _values: dict[str, str]) -> Response:
        relay = {
            "Enabled": False,
            "SMTPServer": "",
            "ReturnPath": "",
            "AllowedRecipients": "",
            "BlockedRecipients": "",
            "OverrideFrom": "",
            "PreserveMessageIDs": False,
            "RecipientAllowlist": "",
        }
        return json_response(
            {
                "Label": self._label,
                "MessageRelay": relay | dict(self._relay or {}),
                "SpamAssassin": False,
                "ChaosEnabled": True,
                "DuplicatesIgnored": False,
                "HideDeleteAllButton": False,
            }
        )

    async def _chaos(self, _request: Request, _values: dict[str, str]) -> Response:
        return json_response(self._triggers())

    def _triggers(self) -> dict[str, dict[str, int]]:
        return {name: {"ErrorCode": code, "Probability": chance} for name, (code, chance) in self._faults.chaos.items()}

    async def _set_chaos(self, request: Request, _values: dict[str, str]) -> Response:
        given = read_body(request.body, dict.fromkeys(CHAOS_DEFAULTS, _TRIGGER))
        triggers: dict[str, tuple[int, int]] = {}
        for name, (default, _) in CHAOS_DEFAULTS.items():
            one = given.get(name, {})
            triggers[name] = (one.get("ErrorCode") or default, one.get("Probability", 0))
        try:
            self._faults.set_chaos(triggers)
        except ChaosError as error:
            raise _ProblemError(str(error)) from error
        return json_response(self._triggers())

    # Events

    async def _events(self, request: Request, _values: dict[str, str]) -> Response:
        return websocket_response(request, self._told_events)

    async def _told_events(self) -> AsyncGenerator[str, None]:
        """Yield events as they happen; counts at most four times a second."""
        listening = self._catcher.hub.open()
        try:
            yield await self._stats()
            counted_s = self._catcher.clock.monotonic_s()
            async for event in listening.events:
                if event.kind != "stats":
                    yield self._event(event)
                elif self._catcher.clock.monotonic_s() - counted_s >= _STATS_S or not listening.events.statistics().current_buffer_used:
                    yield await self._stats()
                    counted_s = self._catcher.clock.monotonic_s()
        finally:
            listening.close()

    def _event(self, event: Event) -> str:
        data = event.data
        if isinstance(data, CaughtSummary):
            data = summary_shape(data, self.size(data), broadcast=True)
        return dump({"Type": event.kind, "Data": data})

    async def _stats(self) -> str:
        counts = await self._catcher.offload.run(self._catcher.store.counts)
        return dump({"Type": "stats", "Data": {"Total": counts.total, "Unread": counts.unread, "Version": f"carteiro-{__version__}"}})


def _needed(request: Request) -> str:
    query = request.query.get("query", "").strip()
    if not query:
        raise _ProblemError("Error: no search query")
    return query


def memory_bytes() -> int:
    """Return what this process has in memory; 0 where nobody says."""
    try:
        with open("/proc/self/statm", "rb") as stream:  # noqa: PTH123 - no path to handle
            return int(stream.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0
