"""Mailpit's send and release calls: a message that a caller writes is caught, one that was caught is let go.

Owns their shapes and the words of their errors; who may be written to is ``releasing``'s.

Sources: Mailpit's send and release calls, as recorded.
"""

from collections.abc import Sequence
from typing import Final

from appliance.message.reading import people
from appliance.model.caught import CaughtEnvelope
from appliance.model.content import MemoryContent
from appliance.net.http_messages import Request, Response
from appliance.services.catcher.compose import ComposeError, compose
from appliance.services.catcher.desk import Desk
from appliance.services.catcher.gobody import BodyError, Shape, read_body
from appliance.services.catcher.gojson import json_response, plain
from appliance.services.catcher.ids import new_id
from appliance.services.catcher.releasing import Release, ReleaseError
from appliance.services.catcher.routes import Routes
from appliance.storage.caught import NewCaught

__all__ = ["Sending"]

_PERSON: Final[Shape] = {"Name": str, "Email": str}
_MESSAGE: Final[Shape] = {
    "From": _PERSON,
    "To": [_PERSON],
    "Cc": [_PERSON],
    "Bcc": [str],
    "ReplyTo": [_PERSON],
    "Subject": str,
    "Text": str,
    "HTML": str,
    "Tags": [str],
    "Headers": dict,
    "Attachments": [{"Content": str, "Filename": str, "ContentType": str, "ContentID": str}],
}


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
            composed = compose(read_body(request.body, _MESSAGE), now_s=self._desk.catcher.clock.now_s())
        except (BodyError, ComposeError) as error:
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
        try:
            recipients: list[str] = read_body(request.body, {"To": [str]}).get("To", [])
        except BodyError as error:
            return plain(str(error), 400)
        named = [(one, people([one.encode("utf-8", "replace")])) for one in recipients]
        wrong = next((one for one, found in named if len(found) != 1 or "@" not in found[0].address), None)
        if wrong is not None:
            return plain(f"Invalid email address: {wrong}", 400)
        if self.release is None:
            return plain("SMTP error: relay is not enabled; start with --relay HOST:PORT", 400)
        if not recipients:
            return plain("No valid addresses found", 400)
        try:
            addresses = [found[0].address for _, found in named]
            await self.release.send(await self._desk.data(summary), summary.envelope.reverse_path, addresses)
        except ReleaseError as error:
            return plain(str(error), 400)
        return plain("ok")
