"""Comparing over our own interface: two caught messages, or one and a baseline that a test keeps beside its code.

Owns what makes two messages the same to a test: fields that differ with each sending
(``Date``, ``Message-ID``, boundaries) count only when they are asked for. A baseline is
approved by keeping what ``.../raw`` gives; the catcher itself remembers none, for it may
be started anew for each run.

Sources: RFC 5322 section 3.6.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Final

from appliance.message.reading import Reading, read_message
from appliance.net.http_messages import Request, Response
from appliance.services.catcher.comparing import compare_messages
from appliance.services.catcher.desk import Desk
from appliance.services.catcher.gojson import json_response
from appliance.services.catcher.routes import Routes

__all__ = ["CompareApi"]

_BASE: Final = "/api/carteiro/v1"
_VOLATILE: Final = "date,message-id,received,return-path,bcc,dkim-signature"


class CompareApi:
    """See the module."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def add_to(self, routes: Routes) -> None:
        routes.add("GET", f"{_BASE}/compare", self._compare)
        routes.add("POST", f"{_BASE}/messages/{{id}}/compare", self._compare_with)

    async def _compare(self, request: Request, _values: dict[str, str]) -> Response:
        """Compare the caught messages ``a`` and ``b``."""
        readings: list[Reading] = []
        for name in ("a", "b"):
            summary = await self._desk.find(request.query.get(name, ""), {})
            if summary is None:
                return json_response({"error": f"no such message: {name}"}, 404)
            readings.append(await self._desk.reading(summary))
        return await self._told(request, readings)

    async def _compare_with(self, request: Request, values: dict[str, str]) -> Response:
        """Compare the baseline in the body, a whole message, with a caught one."""
        summary = await self._desk.find(values["id"], request.query)
        if summary is None:
            return json_response({"error": "no such message"}, 404)
        if not request.body.strip():
            return json_response({"error": "the body is the baseline: a message"}, 400)
        return await self._told(request, [read_message(request.body), await self._desk.reading(summary)])

    async def _told(self, request: Request, readings: Sequence[Reading]) -> Response:
        named = request.query.get("ignore", _VOLATILE).lower().split(",")
        ignored = frozenset([name.strip().encode("utf-8", "replace") for name in named if name.strip()])
        sections = await self._desk.catcher.offload.run(lambda: compare_messages(*readings, ignored=ignored))
        shown = [asdict(section) | {"rows": [asdict(row) for row in section.rows]} for section in sections]
        return json_response({"same": not any(section.changes for section in sections), "sections": shown})
