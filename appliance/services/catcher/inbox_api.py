"""Inboxes by our own interface: made for a test run, given settings, read by a token of their own, and gone.

Owns their shapes, which ``openapi.json`` describes. What lies under
``inboxes/{name}/`` is the same as without, for that inbox alone: a token of the
inbox opens this much and nothing else.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from appliance.net.http_messages import Request, Response
from appliance.policy.caught_inbox import account_of_inbox, inbox_name
from appliance.policy.caught_profile import profile_of
from appliance.services.catcher.desk import Desk
from appliance.services.catcher.gojson import json_response, time_of
from appliance.services.catcher.inboxes import InboxError, Inboxes, InboxTakenError
from appliance.services.catcher.routes import Routes

__all__ = ["InboxApi", "opens"]

_BASE: Final = "/api/carteiro/v1"
_INBOXES: Final = f"{_BASE}/inboxes"


def opens(inbox: str, method: str, path: str) -> bool:
    """Return whether the token of an inbox is good for a request: all that is in it, and looking at its settings."""
    own = f"{_INBOXES}/{inbox}"
    return path.startswith(f"{own}/") or (path == own and method in {"GET", "HEAD", "DELETE", "OPTIONS"})


class InboxApi:
    """See the module."""

    def __init__(self, desk: Desk, inboxes: Inboxes) -> None:
        self._desk = desk
        self._inboxes = inboxes
        self._routes = Routes()

    def add_to(self, routes: Routes) -> None:
        self._routes = routes
        routes.add("GET", _INBOXES, self._list)
        routes.add("POST", _INBOXES, self._make)
        routes.add("GET", f"{_INBOXES}/{{name}}", self._show)
        routes.add("PATCH", f"{_INBOXES}/{{name}}", self._change)
        routes.add("DELETE", f"{_INBOXES}/{{name}}", self._remove)
        routes.add("GET DELETE", f"{_INBOXES}/{{name}}/messages", self._messages)
        routes.add("GET", f"{_INBOXES}/{{name}}/wait", self._messages)
        routes.add("GET DELETE", f"{_INBOXES}/{{name}}/messages/{{id}}", self._message)
        for what in ("raw", "verdict"):
            routes.add("GET", f"{_INBOXES}/{{name}}/messages/{{id}}/{what}", self._message)

    async def _counts(self) -> dict[str, tuple[int, int]]:
        catcher = self._desk.catcher
        await catcher.settled()
        return {name: (total, unread) for name, total, unread in await catcher.offload.run(catcher.store.inboxes)}

    async def _list(self, _request: Request, _values: dict[str, str]) -> Response:
        counts = await self._counts()
        names = sorted({*counts, *self._inboxes.names})
        return json_response([{"name": name, **_counted(counts.get(name))} for name in names])

    async def _make(self, request: Request, _values: dict[str, str]) -> Response:
        try:
            name = await self._inboxes.make(_body(request))
        except InboxError as error:
            return _error(409 if isinstance(error, InboxTakenError) else 400, str(error))
        return json_response(self._shape(name, (0, 0), secrets=True), 201)

    async def _show(self, _request: Request, values: dict[str, str]) -> Response:
        counts = await self._counts()
        name = _named(values)
        if not name or (name not in counts and self._inboxes.settings(name) is None):
            return _error(404, "no such inbox")
        return json_response(self._shape(name, counts.get(name)))

    async def _change(self, request: Request, values: dict[str, str]) -> Response:
        counts, name = await self._counts(), _named(values)
        if not name or (name not in counts and self._inboxes.settings(name) is None):
            return _error(404, "no such inbox")
        try:
            await self._inboxes.change(name, _body(request))
        except InboxError as error:
            return _error(400, str(error))
        return json_response(self._shape(name, counts.get(name), secrets=True))

    async def _remove(self, _request: Request, values: dict[str, str]) -> Response:
        name = _named(values)
        is_known = bool(name) and self._inboxes.settings(name) is not None
        count = await self._inboxes.remove(name) if name else 0
        return json_response({"deleted": count}) if is_known or count else _error(404, "no such inbox")

    def _shape(self, name: str, counted: tuple[int, int] | None, *, secrets: bool = False) -> dict[str, Any]:
        """Return everything that is known of an inbox; passwords and tokens only to who has just set them."""
        settings, faults = self._inboxes.settings(name), self._inboxes.faults(name)
        shape: dict[str, Any] = {
            "name": name,
            **_counted(counted),
            "login": account_of_inbox(name),
            "addresses": [name] if "@" in name else [f"*@{name}"],
            "keep": settings.keep if settings else 0,
            "max_age_s": settings.max_age_s if settings else 0,
            "expires": time_of(int(settings.ends_at_s * 1_000)) if settings and settings.ends_at_s else None,
            "has_password": bool(settings and settings.password),
            "has_token": bool(settings and settings.token),
            "faults": profile_of(faults) if faults is not None else None,
        }
        if secrets and settings is not None:
            shape |= {"password": settings.password, "token": settings.token}
        return shape

    # What is in it

    async def _messages(self, request: Request, values: dict[str, str]) -> Response:
        """Ask the interface without the inbox, with a search that stays inside."""
        name = _named(values)
        query = " ".join(filter(None, [f'inbox:"{name}"', request.query.get("query", "")]))
        path = f"{_BASE}/{request.path.rpartition('/')[2]}"
        return await self._ask(replace(request, path=path, query={**request.query, "query": query}), name)

    async def _message(self, request: Request, values: dict[str, str]) -> Response:
        name, message_id = _named(values), values["id"]
        query = {**request.query, "query": " ".join(filter(None, [f'inbox:"{name}"', request.query.get("query", "")]))}
        summary = await self._desk.find(message_id, query)
        if summary is None or summary.inbox != name:
            return _error(404, "no such message")
        rest = request.path.partition(f"/messages/{message_id}")[2]
        return await self._ask(replace(request, path=f"{_BASE}/messages/{summary.id}{rest}", query=query), name)

    async def _ask(self, request: Request, name: str) -> Response:
        if not name:
            return _error(404, "no such inbox")
        answer = await self._routes.answer(request)
        return answer if answer is not None else _error(404, "there is no such thing here")


def _named(values: Mapping[str, str]) -> str:
    """Return the name in the path, ``""`` for one that no inbox can have."""
    name = inbox_name(values["name"])
    return name if name == values["name"].lower() else ""


def _counted(counts: tuple[int, int] | None) -> dict[str, int]:
    total, unread = counts or (0, 0)
    return {"messages": total, "unread": unread}


def _body(request: Request) -> object:
    try:
        return json.loads(request.body or b"{}")
    except (ValueError, RecursionError):
        raise InboxError("the body is no JSON") from None


def _error(status: int, text: str) -> Response:
    return json_response({"error": text}, status)
