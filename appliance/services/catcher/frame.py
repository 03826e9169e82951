"""The frame that every view of the page stands in: the list on one side, one pane beside it.

Owns which piece of it is asked for. A browser without scripts, or one that comes
the first time, is given the whole; with scripts only the pane or the list that
changes, by the header fields that htmx sends.

Sources: Content Security Policy Level 3; htmx 2 (HX-Request, HX-Target).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlencode

from appliance.net.http_messages import Request, Response, StaticFile, html_response
from appliance.net.templates import Templates, static_files
from appliance.services.catcher import look
from appliance.services.catcher.desk import Desk, number_of
from appliance.services.catcher.trash import Trash
from appliance.services.catcher.words import LANGUAGES, WORDS

__all__ = ["PAGE", "Frame", "Places", "go", "tokens"]

_PACKAGE: Final = "appliance.services.catcher"
_STATIC: Final = {
    "catcher.css": "text/css; charset=utf-8",
    "catcher.js": "text/javascript; charset=utf-8",
    "htmx.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
PAGE: Final = 50
_MOST: Final = 500
_MOST_INBOXES: Final = 50
_POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; frame-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where what is caught comes in and can be fetched: addresses to copy. ``root``: the path that everything lies under."""

    root: str = "/"
    smtp: str = "127.0.0.1:1025"
    pop3: str = "127.0.0.1:1110"
    imap: str = "127.0.0.1:1143"


class Frame:
    """Renders views. ``trash``: what was deleted last, to offer it again. ``relay``: the server that mail can be released to, ``""`` for none."""

    def __init__(self, desk: Desk, places: Places, trash: Trash, relay: Callable[[], str] = lambda: "") -> None:
        self.desk = desk
        self.places = places
        self.trash = trash
        self._relay = relay
        self._templates = Templates(_PACKAGE)
        self.static: Mapping[str, StaticFile] = MappingProxyType(static_files(_PACKAGE, _STATIC))

    async def show(
        self, request: Request, pane: str, values: Mapping[str, Any] | None = None, *, status: int = 200, said: str = ""
    ) -> Response:
        """Answer with a pane (the name of its template); ``said``: a word about what was just done."""
        seen = look.look_of(request, self.places.root)
        target = request.header("hx-target") if request.header("hx-request") == "true" else ""
        words = WORDS[seen.language]
        query = request.query.get("q", "")[:500]
        found: dict[str, Any] = {
            "w": words, "language": seen.language, "languages": [(code, WORDS[code]["language"]) for code in LANGUAGES], "theme": seen.theme,
            "root": self.places.root, "places": self.places, "pane": pane, "query": query, "summary": None, "said": said,
            "undo": self.trash.offer(request.query.get("deleted", "")), "who": look.who, "people": look.people, "when": look.when,
            "full": look.full, "iso": look.iso, "size": look.size, "partial": target, "done": _done(request, words), "relay": self._relay(),
        }  # fmt: skip
        if target == "reader":
            found["counts"] = await self.desk.catcher.offload.run(self.desk.catcher.store.counts)
        else:
            found |= await self._list_values(request, query)
        found |= values or {}
        template = {"reader": "part.html", "list": "list.html", "more": "rows.html"}.get(target, "page.html")
        headers = {
            "content-security-policy": _POLICY,
            "content-language": seen.language,
            "vary": "accept-language, cookie, hx-request",
            # With "no-referrer" a browser without scripts sends our own forms from the origin "null", as strangers' are.
            "referrer-policy": "same-origin",
        }
        if seen.cookies:
            headers["set-cookie"] = seen.cookies[0]
        return html_response(self._templates.render(template, found), status, headers)

    async def _list_values(self, request: Request, query: str) -> dict[str, Any]:
        catcher = self.desk.catcher
        terms = self.desk.terms(query, request.query.get("tz", ""))
        start = max(number_of(request.query, "start", 0), 0)
        limit = min(max(number_of(request.query, "limit", PAGE), 1), _MOST)
        messages = await self.desk.latest(terms, start=start, limit=limit)
        run, store = catcher.offload.run, catcher.store
        counts = await run(store.counts)
        found = (await run(store.matching, terms)).total if terms else counts.total
        here = f"{self.places.root}search" if query else self.places.root
        own = {"q": query} if query else {}
        return {
            "messages": messages,
            "counts": counts,
            "found": found,
            "start": start,
            "tags": list((await run(store.tags)).items())[:30],
            "inboxes": await run(store.inbox_names, _MOST_INBOXES),
            "here": f"{here}?{urlencode(own)}" if own else here,
            "newer": f"{here}?{urlencode({**own, 'start': max(start - PAGE, 0)})}" if start else "",
            "older": f"{here}?{urlencode({**own, 'start': start + len(messages)})}" if start + len(messages) < found else "",
            "tail": f"?{urlencode(own)}" if own else "",
        }

    def words(self, request: Request) -> Mapping[str, str]:
        """Return the words of a browser's language."""
        return WORDS[look.look_of(request).language]


def _done(request: Request, words: Mapping[str, str]) -> str:
    """Return the word about what was done before this view."""
    count = request.query.get("n", "")
    return words.get(f"done.{request.query.get('done', '')}", "").replace("{n}", count if count.isdecimal() and len(count) < 8 else "")


def go(root: str, path: str = "", values: Mapping[str, str] | None = None, *, status: int = 303) -> Response:
    """Send a browser to another view."""
    shown = {name: value for name, value in (values or {}).items() if value}
    return Response(status, headers={"location": root + path + (f"?{urlencode(shown)}" if shown else "")}, content_type="")


def tokens(text: str) -> Sequence[str]:
    """Return what stands between commas and blanks, each once."""
    return list(dict.fromkeys([one.strip() for one in text.replace(";", ",").split(",") if one.strip()]))
