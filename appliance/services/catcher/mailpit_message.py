"""Mailpit's interface to one message: its JSON, headers, bytes, parts, checks, and the pages that show a body alone.

Owns what keeps a message's HTML from doing harm: it is never of this origin's
rights, whatever a browser is asked to open.

Sources: Mailpit's API, as recorded; Content Security Policy Level 3 (sandbox).
"""

import re
import secrets
from collections.abc import Awaitable, Callable
from typing import Final

from appliance.message.html import embedded, with_parts, without_frames
from appliance.message.thumbnail import make_thumbnail
from appliance.model.caught import CaughtSummary
from appliance.net.http_messages import Request, Response
from appliance.policy.html_check import HtmlCheck
from appliance.policy.link_check import check_links
from appliance.services.catcher.desk import Desk
from appliance.services.catcher.gojson import json_response, plain
from appliance.services.catcher.mailpit import MailpitApi
from appliance.services.catcher.mailpit_shapes import disposition, headers_of, message_shape
from appliance.services.catcher.routes import PathHandler, Routes

__all__ = ["MailpitMessages", "frame_policy"]

_NO_PAGE: Final = plain("404 page not found", 404)
_NO_MESSAGE: Final = plain("Message not found", 404, charset=True)
_INERT: Final = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_HOST: Final = re.compile(r"[A-Za-z0-9.-]{1,255}(?::[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](?::[0-9]{1,5})?")
_TURNED_BACK: Final = "<style>img,video,picture>img{filter:invert(1) hue-rotate(180deg)}</style>"
"""For a page that turns all colours around, as some mail programs do in the dark: pictures keep theirs."""
_MAX_THUMBNAIL_SOURCE: Final = 20_971_520

_Handler = Callable[[CaughtSummary, Request, dict[str, str]], Awaitable[Response]]


def frame_policy(*, own: str = "", remote: bool = False, script: str = "") -> str:
    """Return the policy under which a message's HTML is shown: no script, no form, nothing from elsewhere unless ``remote``.

    ``own``: where the message's own pictures are; the frame has an origin that is nobody's, so they must be named. ``script``: the nonce of the one script of ours that may run.
    """
    images = f"{own} data: https: http:" if remote else f"{own} data:"
    fonts = "data: https: http:" if remote else "data:"
    scripts = f"; script-src 'nonce-{script}'" if script else ""
    allowed = " allow-scripts" if script else ""
    return (
        f"sandbox allow-popups allow-popups-to-escape-sandbox{allowed}; default-src 'none'; style-src 'unsafe-inline'; img-src {images}; "
        f"font-src {fonts}; media-src {images}; form-action 'none'; base-uri 'none'; frame-ancestors 'self'{scripts}"
    )


class MailpitMessages:
    """``html_check`` returns the rules, loaded when they are first needed. ``root`` is the path that everything lies under."""

    def __init__(self, desk: Desk, api: MailpitApi, html_check: Callable[[], HtmlCheck], root: str = "/") -> None:
        self._desk = desk
        self._api = api
        self._html_check = html_check
        self._root = root

    def add_to(self, routes: Routes) -> None:
        base = "/api/v1/message/{id}"
        routes.add("GET", base, self._of_one(self._message))
        routes.add("GET", f"{base}/headers", self._of_one(self._headers))
        routes.add("GET", f"{base}/raw", self._of_one(self._raw))
        routes.add("GET", f"{base}/part/{{part}}", self._of_one(self._part))
        routes.add(
            "GET",
            f"{base}/part/{{part}}/thumb",
            self._of_one(self._thumb, plain("message not found", 400), plain("message not found", 400)),
        )
        routes.add("GET", f"{base}/html-check", self._of_one(self._check_html, latest=_NO_PAGE))
        routes.add("GET", f"{base}/link-check", self._of_one(self._check_links, latest=_NO_PAGE))
        routes.add("GET", "/view/{id}.html", self._of_one(self._view_html, _NO_MESSAGE))
        routes.add("GET", "/view/{id}.txt", self._of_one(self._view_text, _NO_MESSAGE))

    def _of_one(self, handler: _Handler, missing: Response = _NO_PAGE, latest: Response = _NO_MESSAGE) -> PathHandler:
        """Return a handler of a path with an id. ``missing``: what is said when no message has it, ``latest`` when there is none at all."""

        async def answer(request: Request, values: dict[str, str]) -> Response:
            summary = await self._desk.find(values["id"], request.query)
            if summary is None:
                return latest if values["id"] == "latest" else missing
            return await handler(summary, request, values)

        return answer

    async def _message(self, summary: CaughtSummary, _request: Request, _values: dict[str, str]) -> Response:
        reading = await self._desk.reading(summary)
        if not summary.read:
            await self._desk.catcher.set_read([summary.id], read=True)
        return json_response(message_shape(summary, reading, self._api.size(summary)))

    async def _headers(self, summary: CaughtSummary, _request: Request, _values: dict[str, str]) -> Response:
        return json_response(headers_of(self._desk.prefix(summary) + await self._desk.data(summary)))

    async def _raw(self, summary: CaughtSummary, request: Request, _values: dict[str, str]) -> Response:
        data = self._desk.prefix(summary) + await self._desk.data(summary)
        headers = {"content-disposition": f'attachment; filename="{summary.id}.eml"'} if request.query.get("dl") == "1" else {}
        return Response(200, data, "text/plain; charset=utf-8", headers)

    async def _part(self, summary: CaughtSummary, _request: Request, values: dict[str, str]) -> Response:
        reading = await self._desk.reading(summary)
        leaf = reading.leaf(values["part"])
        if leaf is None:
            return _NO_PAGE
        headers = {"content-disposition": disposition("inline", leaf.name), "content-security-policy": _INERT}
        if leaf.content_type.startswith("image/"):
            # A message's frame has an origin of its own, and shows the pictures that came with it.
            headers["cross-origin-resource-policy"] = "cross-origin"
        return Response(200, reading.content(leaf.part), leaf.content_type, headers)

    async def _thumb(self, summary: CaughtSummary, _request: Request, values: dict[str, str]) -> Response:
        reading = await self._desk.reading(summary)
        leaf = reading.leaf(values["part"])
        if leaf is None:
            return plain("attachment not found", 400)
        data = reading.content(leaf.part, _MAX_THUMBNAIL_SOURCE) if leaf.content_type.startswith("image/") else b""
        picture = await self._desk.catcher.offload.run(make_thumbnail, data)
        return Response(200, picture, "image/jpeg", {"content-disposition": disposition("", leaf.name)})

    # Checks

    async def _check_html(self, summary: CaughtSummary, _request: Request, _values: dict[str, str]) -> Response:
        html = (await self._desk.reading(summary)).html()
        if not html:
            return plain("message does not contain HTML", 400)
        check = await self._desk.catcher.offload.run(self._html_check)
        return json_response(check.run(html))

    async def _check_links(self, summary: CaughtSummary, _request: Request, _values: dict[str, str]) -> Response:
        reading = await self._desk.reading(summary)
        links = check_links(reading.html(), reading.text() if reading.texts else "")
        errors = sum(link.code == 0 or link.code >= 400 for link in links)
        found = [{"URL": link.url, "StatusCode": link.code, "Status": link.status} for link in links]
        return json_response({"Errors": errors, "Links": found})

    # A body alone

    async def _view_html(self, summary: CaughtSummary, request: Request, _values: dict[str, str]) -> Response:
        reading = await self._desk.reading(summary)
        if not reading.htmls:
            return plain("This message does not contain a HTML part", 404, charset=True)
        base = f"{self._root}api/v1/message/{summary.id}/part/"
        html = with_parts(
            without_frames(reading.html()), {leaf.content_id: base + leaf.part_id for leaf in reading.leaves if leaf.content_id}
        )
        remote, own = request.query.get("remote") == "1", _origin(request)
        policy = frame_policy(own=own, remote=remote)
        if request.query.get("embed") == "1":
            nonce = secrets.token_urlsafe(16)
            html, policy = embedded(html, nonce), frame_policy(own=own, remote=remote, script=nonce)
        if request.query.get("forced") == "1":
            html += _TURNED_BACK
        headers = {"content-security-policy": policy, "cross-origin-resource-policy": "same-site"}
        return Response(200, html.encode("utf-8", "replace"), "text/html; charset=utf-8", headers)

    async def _view_text(self, summary: CaughtSummary, _request: Request, _values: dict[str, str]) -> Response:
        reading = await self._desk.reading(summary)
        return Response(200, reading.text().encode("utf-8", "replace"), "text/plain; charset=utf-8")


def _origin(request: Request) -> str:
    """Return our origin as the browser knows it; nothing for a Host that is none."""
    host = request.header("host")
    return f"{'https' if request.secure else 'http'}://{host}" if _HOST.fullmatch(host) else ""
