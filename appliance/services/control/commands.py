"""What the control socket can do about the queue and the server: handlers over ports.

Owns the commands ``queue.list``, ``queue.show``, ``queue.change``, ``status``, ``reload`` and ``trace``, and the
selection of entries by sender, recipient and destination.

Fails: CommandError for arguments that make no sense.
Sources: Postfix postqueue(1), postsuper(1), qshape(1).
"""

import base64
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from appliance.model.content import Content
from appliance.model.errors import ApplianceError
from appliance.model.ids import QueueId
from appliance.model.ports import Clock, Offload, QueueAdmin, QueueItem
from appliance.services.control.selection import Selection, item_to_json
from appliance.services.control.server import CommandError, Handler, SendItem

__all__ = ["ACTIONS", "Reloaded", "queue_handlers", "server_handlers", "trace_handlers"]

ACTIONS: Final = ("retry", "hold", "release", "delete")
_MAX_ITEMS: Final = 1_000_000
_MAX_TRACED: Final = 1_000
_CONTENT_CHUNK: Final = 49_152


@dataclass(frozen=True, slots=True)
class Reloaded:
    """What came of reading the settings again. ``problems``: why the old ones stay; ``waiting``: changed, but in use only after a restart."""

    problems: Sequence[str] = ()
    waiting: Sequence[str] = ()


def queue_handlers(admin: QueueAdmin, offload: Offload) -> dict[str, Handler]:
    """Return the handlers of the queue commands."""
    commands = _QueueCommands(admin, offload)
    return {"queue.list": commands.list_entries, "queue.show": commands.show, "queue.change": commands.change}


def server_handlers(
    admin: QueueAdmin,
    clock: Clock,
    *,
    version: str,
    reload: Callable[[], Awaitable[Reloaded]],
    text_index: Callable[[], Sequence[Mapping[str, Any]] | None] = lambda: None,
) -> dict[str, Handler]:
    """Return the handlers about the server itself. ``text_index``: how far it is, by account; None when it is off."""
    started_at_s = clock.monotonic_s()

    async def status(_arguments: Mapping[str, Any], _send: SendItem) -> dict[str, Any]:
        uptime_s = round(clock.monotonic_s() - started_at_s, 3)
        found = {"version": version, "uptime_s": uptime_s, "queue": admin.counts()}
        index = text_index()
        return found if index is None else {**found, "text_index": list(index)}

    async def reload_settings(_arguments: Mapping[str, Any], _send: SendItem) -> dict[str, Any]:
        reloaded = await reload()
        if reloaded.problems:
            raise CommandError("\n".join(reloaded.problems))
        return {"waiting": list(reloaded.waiting)}

    return {"status": status, "reload": reload_settings}


def trace_handlers(find: Callable[[str, int], Awaitable[Sequence[dict[str, Any]]]]) -> dict[str, Handler]:
    """Return the handler of ``trace``. ``find``: the newest messages that a query means."""

    async def trace(arguments: Mapping[str, Any], send: SendItem) -> dict[str, Any]:
        query, limit = arguments.get("query"), arguments.get("limit", 10)
        if not isinstance(query, str) or not isinstance(limit, int) or not 1 <= limit <= _MAX_TRACED:
            raise CommandError(f"query must be a text and limit a number up to {_MAX_TRACED}")
        try:
            for item in await find(query, limit):
                await send(item)
        except ApplianceError as error:
            raise CommandError(f"the journal cannot be read: {error.detail}") from error
        return {}

    return {"trace": trace}


class _QueueCommands:
    def __init__(self, admin: QueueAdmin, offload: Offload) -> None:
        self._admin = admin
        self._offload = offload

    async def list_entries(self, arguments: Mapping[str, Any], send: SendItem) -> dict[str, Any]:
        limit = arguments.get("limit", _MAX_ITEMS)
        if not isinstance(limit, int) or limit < 1:
            raise CommandError("limit must be a number above 0")
        for item in await self._selected(_selection(arguments), limit):
            await send(item_to_json(item))
        return {"counts": self._admin.counts()}

    async def show(self, arguments: Mapping[str, Any], send: SendItem) -> dict[str, Any]:
        queue_id = arguments.get("id")
        if not isinstance(queue_id, str):
            raise CommandError("id is missing")
        found = await self._admin.open_content(QueueId(queue_id))
        if found is None:
            raise CommandError(f"{queue_id} is not in the queue")
        item, content = found
        await send(item_to_json(item))
        await self._send_content(content, send, header_only=not arguments.get("content"))
        return {}

    async def change(self, arguments: Mapping[str, Any], _send: SendItem) -> dict[str, Any]:
        action = arguments.get("action")
        if action not in ACTIONS:
            raise CommandError(f"action must be one of {', '.join(ACTIONS)}")
        selection = _selection(arguments)
        if selection.is_empty:
            raise CommandError("say which entries: ids, from, to, domain or all")
        queue_ids = list(selection.ids)
        if selection.needs_items:
            queue_ids = [item.queue_id for item in await self._selected(selection, _MAX_ITEMS)]
        return {"changed": await self._admin.change(action, queue_ids)}

    async def _selected(self, selection: Selection, limit: int) -> list[QueueItem]:
        items = await self._admin.items(_MAX_ITEMS if selection.is_filter else limit)
        return [item for item in items if selection.matches(item)][:limit]

    async def _send_content(self, content: Content, send: SendItem, *, header_only: bool) -> None:
        """Send a message in pieces; with ``header_only`` what comes before the empty line, at most one piece."""
        try:
            stream = await self._offload.run(content.open)
        except ApplianceError as error:
            raise CommandError(f"the message cannot be read: {error.detail}") from error
        with stream:
            while piece := await self._offload.run(stream.read, _CONTENT_CHUNK):
                end = piece.find(b"\r\n\r\n") if header_only else -1
                await send({"data": base64.b64encode(piece if end < 0 else piece[: end + 2]).decode("ascii")})
                if header_only:
                    return


def _selection(arguments: Mapping[str, Any]) -> Selection:
    try:
        return Selection.from_arguments(arguments)
    except ValueError as error:
        raise CommandError(str(error)) from error
