"""Messages that a caller sends through an interface, and messages that are let go: to themselves, or to a real server.

Owns who may be written to. What is released goes through the real queue, with its
retries and bounces; without a server to release to, nothing leaves this machine.

Sources: Mailpit's send and release calls, as recorded.
"""

import fnmatch
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from appliance.message.header import HeaderSection, split_message
from appliance.model.caught import CaughtEnvelope
from appliance.model.content import MemoryContent
from appliance.model.envelope import Body, Client, Envelope, EnvelopeRecipient
from appliance.model.errors import ApplianceError
from appliance.model.ports import Intake
from appliance.net.http_messages import Request, Response
from appliance.services.catcher.compose import ComposeError, compose
from appliance.services.catcher.desk import Desk
from appliance.services.catcher.gojson import json_response, plain
from appliance.services.catcher.ids import new_id
from appliance.services.catcher.routes import Routes
from appliance.storage.caught import NewCaught

__all__ = ["Release", "ReleaseError", "Sending"]


class ReleaseError(Exception):
    """Why a message is not let go."""


@dataclass(slots=True)
class Release:
    """Where released mail goes. ``allow`` and ``block`` are patterns of addresses; an empty ``allow`` allows all."""

    queue: Intake
    server: str
    allow: Sequence[str] = ()
    block: Sequence[str] = ()

    def check(self, recipients: Sequence[str]) -> None:
        """Raise ReleaseError for recipients that may not be written to."""
        denied = [one for one in recipients if self.allow and not _matches(one, self.allow)]
        if denied:
            raise ReleaseError(f"Mail address does not match the allowlist: {', '.join(denied)}")
        blocked = [one for one in recipients if _matches(one, self.block)]
        if blocked:
            raise ReleaseError(f"Mail address matches the blocklist: {', '.join(blocked)}")

    async def send(self, data: bytes, reverse_path: str, recipients: Sequence[str]) -> None:
        """Give a message to the queue; durable at return. Raises ReleaseError."""
        self.check(recipients)
        try:
            writer = await self.queue.begin()
            await writer.write(data)
            body = Body.SEVEN_BIT if data.isascii() else Body.EIGHT_BIT_MIME
            await self.queue.accept(
                Envelope(reverse_path, tuple([EnvelopeRecipient(one) for one in recipients]), body, client=Client(protocol="HTTP")), writer
            )
        except ApplianceError as error:
            raise ReleaseError(error.client_text) from error


def _matches(address: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(address.lower(), pattern.lower()) for pattern in patterns)


class Sending:
    """See the module. ``release`` None: nothing is let go."""

    def __init__(self, desk: Desk, release: Release | None = None) -> None:
        self._desk = desk
        self.release = release

    def add_to(self, routes: Routes) -> None:
        routes.add("POST", "/api/v1/send", self._send)
        routes.add("POST", "/api/v1/message/{id}/release", self._release)

    async def _send(self, request: Request, _values: dict[str, str]) -> Response:
        try:
            body = json.loads(request.body)
        except (ValueError, RecursionError) as error:
            cut = isinstance(error, json.JSONDecodeError) and error.pos >= len(request.body.decode("utf-8", "replace").rstrip())
            return json_response({"Error": "unexpected EOF" if cut else f"invalid JSON: {error}"}, 400)
        try:
            composed = compose(body if isinstance(body, dict) else {}, now_s=self._desk.catcher.clock.now_s())
        except ComposeError as error:
            return json_response({"Error": str(error)}, 400)
        message_id = await self.keep(composed.data, composed.reverse_path, composed.recipients, client=request.client)
        return json_response({"ID": message_id})

    async def keep(
        self, data: bytes, reverse_path: str, recipients: Sequence[str], *, client: str = "", protocol: str = "HTTP", inbox: str = ""
    ) -> str:
        """Catch a message that came by another way than SMTP; return its id."""
        envelope = CaughtEnvelope(reverse_path=reverse_path, recipients=tuple(recipients), client=client, protocol=protocol)
        now_ms = int(self._desk.catcher.clock.now_s() * 1_000)
        new = NewCaught(id=new_id(), inbox=inbox, created_ms=now_ms, envelope=envelope, content=MemoryContent(data))
        await self._desk.catcher.keep(new)
        return new.id

    async def _release(self, request: Request, values: dict[str, str]) -> Response:
        summary = await self._desk.find(values["id"], request.query)
        if summary is None:
            return plain("404 page not found", 404)
        if self.release is None:
            return plain("message relay is not enabled: start with --relay HOST:PORT", 400)
        try:
            body: Any = json.loads(request.body)
        except (ValueError, RecursionError) as error:
            return plain(f"invalid JSON: {error}", 400)
        recipients = [one for one in (body.get("To") or []) if isinstance(one, str)] if isinstance(body, dict) else []
        if not recipients:
            return plain("No valid addresses found", 400)
        try:
            await self.release.send(_without_blind(await self._desk.data(summary)), summary.envelope.reverse_path, recipients)
        except ReleaseError as error:
            return plain(str(error), 400)
        return plain("ok")


def _without_blind(data: bytes) -> bytes:
    """Return a message without Bcc: who is written to is in the envelope."""
    header, body = split_message(data)
    return HeaderSection(header).without({b"bcc"}).to_bytes() + body
