"""Messages that a person writes on the page: new, as an answer, or from one that was caught.

Owns the form. What is written is caught like everything else; nothing leaves this machine.

Fails: what cannot be sent is told above the form, which keeps what was written.

Sources: RFC 5322 sections 3.6.4 (In-Reply-To, References) and 3.6.3 (who is answered).
"""

import base64
from collections.abc import Sequence
from typing import Any, Final

from appliance.message.reading import people
from appliance.net.http_messages import Request, Response
from appliance.services.catcher import look
from appliance.services.catcher.compose import ComposeError, compose
from appliance.services.catcher.desk import Desk
from appliance.services.catcher.forms import Form, read_form
from appliance.services.catcher.frame import Frame, go
from appliance.services.catcher.routes import Routes
from appliance.services.catcher.sending import Sending

__all__ = ["Writing"]

_FIELDS: Final = ("from", "to", "cc", "bcc", "subject", "text", "html", "references")
_MAX_QUOTED: Final = 50_000


class Writing:
    """See the module."""

    def __init__(self, frame: Frame, sending: Sending) -> None:
        self._frame = frame
        self._desk: Desk = frame.desk
        self._sending = sending

    def add_to(self, routes: Routes) -> None:
        routes.add("GET", "/compose", self._show)
        routes.add("POST", "/compose", self._send)

    async def _show(self, request: Request, _values: dict[str, str]) -> Response:
        written = dict.fromkeys(_FIELDS, "") | {"from": "dev@localhost.localdomain"}
        for name, made in (("reply", self._answer), ("again", self._again)):
            if request.query.get(name):
                written |= await made(request.query[name])
        return await self._form(request, written)

    async def _form(self, request: Request, written: dict[str, str], error: str = "") -> Response:
        return await self._frame.show(request, "compose.html", {"written": written, "error": error}, status=400 if error else 200)

    async def _answer(self, message_id: str) -> dict[str, str]:
        """Return the beginnings of an answer to a message."""
        summary = await self._desk.find(message_id, {})
        if summary is None:
            return {}
        reading = await self._desk.reading(summary)
        asked = summary.reply_to or ([summary.sender] if summary.sender else [])
        subject = summary.subject if summary.subject.lower().startswith(("re:", "res:")) else f"Re: {summary.subject}"
        quoted = "\n".join([f"> {line}" if line else ">" for line in reading.text(_MAX_QUOTED).splitlines()])
        known = f"{reading.value(b'references')} <{summary.message_id}>".split() if summary.message_id else []
        return {
            "from": summary.to[0].address if summary.to else "".join(summary.envelope.recipients[:1]),
            "to": ", ".join(look.people(asked)),
            "subject": subject,
            "text": f"\n\n{look.who(summary)}:\n{quoted}\n",
            "references": " ".join(known[-20:]),
        }

    async def _again(self, message_id: str) -> dict[str, str]:
        """Return the beginnings of a message like another one."""
        summary = await self._desk.find(message_id, {})
        if summary is None:
            return {}
        reading = await self._desk.reading(summary)
        return {
            "from": ", ".join(look.people([summary.sender] if summary.sender else [])),
            "to": ", ".join(look.people(summary.to)),
            "cc": ", ".join(look.people(summary.cc)),
            "subject": summary.subject,
            "text": reading.text(_MAX_QUOTED) if reading.texts else "",
            "html": reading.html(_MAX_QUOTED),
        }

    async def _send(self, request: Request, _values: dict[str, str]) -> Response:
        form = read_form(request)
        try:
            composed = compose(_body(form), now_s=self._desk.catcher.clock.now_s())
        except ComposeError as error:
            return await self._form(
                request, {name: form.get(name) for name in _FIELDS}, str(error).removeprefix("error building message: ")
            )
        kept = await self._sending.keep(composed.data, composed.reverse_path, composed.recipients, client=request.client)
        return go(self._frame.places.root, f"view/{kept}", {"done": "sent"})


def _body(form: Form) -> dict[str, Any]:
    """Return what a form says in the shape that messages are composed from."""
    references = form.get("references").split()[-20:]
    headers = {"References": " ".join(references), "In-Reply-To": references[-1]} if references else {}
    files = [
        {"Filename": file.name, "ContentType": file.content_type, "Content": base64.b64encode(file.data).decode("ascii")}
        for file in form.files
    ]
    sender = _persons(form.get("from"))[:1] or [{"Email": "", "Name": ""}]
    return {
        "From": sender[0], "To": _persons(form.get("to")), "Cc": _persons(form.get("cc")), "Bcc": [one["Email"] for one in _persons(form.get("bcc"))],
        "Subject": form.get("subject"), "Text": form.get("text"), "HTML": form.get("html"), "Headers": headers, "Attachments": files,
    }  # fmt: skip


def _persons(text: str) -> Sequence[dict[str, str]]:
    """Return the addresses of a field as a person types it."""
    found = people([" ".join(text.split()).encode("utf-8", "replace")])[:500]
    return [{"Email": person.address, "Name": person.name} for person in found]
