"""What SPF, DKIM, DMARC and ARC say of a caught message, from records that are given, never from DNS.

Owns the records of the moment: a pasted key, or a zone as a JSON object of names.
Without any, every question goes unanswered and the verdicts say so.

Fails: 400 for records that make no sense and for an address that is none.
Sources: RFC 7208 section 4.1 (what a check needs to know of the client), RFC 8601.
"""

import ipaddress
import json
from collections.abc import Awaitable, Callable
from typing import Any, Final

from appliance.net.http_messages import Request, Response
from appliance.services.catcher.desk import Desk
from appliance.services.catcher.gojson import json_response
from appliance.services.catcher.routes import Routes

__all__ = ["JudgeCaught", "VerdictApi"]

_BASE: Final = "/api/carteiro/v1"
_MAX_HELO: Final = 255

JudgeCaught = Callable[[bytes, str, str, str, object], Awaitable[dict[str, Any]]]
"""Message, client's address, its HELO, reverse-path and records (None: no answers) to findings. Raises ValueError for records that make no sense."""


class VerdictApi:
    """``records``: those of the start, None for none."""

    def __init__(self, desk: Desk, judge: JudgeCaught, records: object = None) -> None:
        self._desk = desk
        self._judge = judge
        self._records = records

    def add_to(self, routes: Routes) -> None:
        routes.add("GET", f"{_BASE}/dns", self._show)
        routes.add("PUT", f"{_BASE}/dns", self._set)
        routes.add("GET", f"{_BASE}/messages/{{id}}/verdict", self._verdict)
        routes.add("POST", f"{_BASE}/messages/{{id}}/verdict", self._verdict_with)

    async def _show(self, _request: Request, _values: dict[str, str]) -> Response:
        return json_response({"records": self._records})

    async def _set(self, request: Request, _values: dict[str, str]) -> Response:
        """Take records in place of those before; ``null`` for none."""
        try:
            given = json.loads(request.body)
            if not isinstance(given, dict) or given.keys() != {"records"}:
                return _error("the body names records, and nothing else")
            await self._judge(b"", "127.0.0.1", "", "", given["records"])
        except (ValueError, RecursionError) as error:
            return _error(str(error))
        self._records = given["records"]
        return json_response({"records": self._records})

    async def _verdict(self, request: Request, values: dict[str, str]) -> Response:
        return await self._judged(request, values["id"], request.query.get("ip"), request.query.get("helo"), self._records)

    async def _verdict_with(self, request: Request, values: dict[str, str]) -> Response:
        """Judge with records for this once."""
        try:
            given = json.loads(request.body)
        except (ValueError, RecursionError):
            return _error("the body is no JSON")
        if not isinstance(given, dict) or given.keys() - {"ip", "helo", "records"}:
            return _error("the body names ip, helo and records")
        if not all(isinstance(given.get(name, ""), str) for name in ("ip", "helo")):
            return _error("ip and helo are texts")
        return await self._judged(request, values["id"], given.get("ip"), given.get("helo"), given.get("records", self._records))

    async def _judged(self, request: Request, message_id: str, ip: object, helo: object, records: object) -> Response:
        summary = await self._desk.find(message_id, request.query)
        if summary is None:
            return json_response({"error": "no such message"}, 404)
        envelope = summary.envelope
        address = ip if isinstance(ip, str) else _address(envelope.client)
        try:
            ipaddress.ip_address(address)
        except ValueError:
            return _error(f"{address[:80]} is no IP address")
        name = helo if isinstance(helo, str) and helo else envelope.helo
        try:
            found = await self._judge(await self._desk.data(summary), address, name[:_MAX_HELO], envelope.reverse_path, records)
        except ValueError as error:
            return _error(str(error))
        return json_response({"ip": address, "helo": name[:_MAX_HELO], "dns": "off" if records is None else "given"} | found)


def _address(client: str) -> str:
    try:
        return str(ipaddress.ip_address(client))
    except ValueError:
        return "127.0.0.1"


def _error(text: str) -> Response:
    return json_response({"error": text}, 400)
