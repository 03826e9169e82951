"""The page: a list of what was caught, and one message beside it, in every way it can be looked at.

Owns which address shows what, language and appearance. Everything can be read
and done without scripts; with them the page follows what happens and needs no
new page for a step.

Does not: show a message's HTML in the page itself; that is in a frame of its own,
without rights.
Sources: Content Security Policy Level 3, WHATWG HTML (iframe sandbox), RFC 9110 section 12.5.4 (Accept-Language).
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import quote

from appliance.message.extract import find_codes
from appliance.message.part import Part
from appliance.message.reading import Reading
from appliance.message.text import decode_bytes, decode_parameter_text
from appliance.model.caught import CaughtSummary, Person
from appliance.net.http_messages import Request, Response, StaticFile, html_response
from appliance.net.templates import Templates, static_files
from appliance.policy.html_check import HtmlCheck
from appliance.policy.link_check import check_links
from appliance.services.catcher.desk import Desk, number_of
from appliance.services.catcher.routes import Routes
from appliance.services.catcher.truth import differences, replay_commands
from appliance.services.catcher.words import LANGUAGES, WORDS

__all__ = ["CatcherPages"]

_PACKAGE: Final = "appliance.services.catcher"
_STATIC: Final = {
    "catcher.css": "text/css; charset=utf-8",
    "catcher.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
_PAGE: Final = 50
_TABS: Final = ("html", "text", "source", "headers", "parts", "checks", "conversation", "truth")
_THEMES: Final = ("auto", "light", "dark")
_MAX_SHOWN: Final = 1_048_576
_POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; frame-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_KIB: Final = 1_024


@dataclass(frozen=True, slots=True)
class _Look:
    """How a browser wants it."""

    language: str
    theme: str
    cookies: tuple[str, ...]


class CatcherPages:
    """``root`` is the path that everything lies under."""

    def __init__(self, desk: Desk, html_check: Callable[[], HtmlCheck], root: str = "/") -> None:
        self._desk = desk
        self._html_check = html_check
        self._root = root
        self._templates = Templates(_PACKAGE)
        self._static: Mapping[str, StaticFile] = MappingProxyType(static_files(_PACKAGE, _STATIC))

    def add_to(self, routes: Routes) -> None:
        routes.add("GET", "/", self._show_list)
        routes.add("GET", "/search", self._show_list)
        routes.add("GET", "/view/latest", self._show_latest)
        routes.add("GET", "/view/{id}", self._show_message)
        routes.add("POST", "/view/{id}/delete", self._delete)
        routes.add("POST", "/view/{id}/unread", self._mark_unread)
        routes.add("POST", "/delete-all", self._delete_all)
        for path in self._static:
            routes.add("GET", path, self._show_static)

    async def _show_static(self, request: Request, _values: dict[str, str]) -> Response:
        return self._static[request.path].respond(request)

    # Pages

    async def _show_list(self, request: Request, _values: dict[str, str]) -> Response:
        return await self._page(request, None)

    async def _show_latest(self, request: Request, _values: dict[str, str]) -> Response:
        summary = await self._desk.find("latest", request.query)
        if summary is None:
            return await self._page(request, None)
        return self._go(f"view/{summary.id}", 302)

    async def _show_message(self, request: Request, values: dict[str, str]) -> Response:
        summary = await self._desk.find(values["id"], request.query)
        if summary is not None and not summary.read:
            await self._desk.catcher.set_read([summary.id], read=True)
            summary = await self._desk.find(values["id"], request.query)
        return await self._page(request, summary, is_gone=summary is None)

    async def _page(self, request: Request, summary: CaughtSummary | None, *, is_gone: bool = False) -> Response:
        look = _look(request)
        query = request.query.get("q", "")[:500]
        values = await self._list_values(request, query)
        words = WORDS[look.language]
        values |= {
            "w": words,
            "language": look.language,
            "languages": [(code, WORDS[code]["language"]) for code in LANGUAGES],
            "theme": look.theme,
            "root": self._root,
            "query": query,
            "summary": summary,
            "gone": is_gone,
            "who": _who,
            "people": _people,
            "when": _when,
            "full": _full,
            "iso": _iso,
            "size": _size,
        }
        if summary is not None:
            values |= await self._message_values(request, summary, words)
        template = {"list": "list.html", "reader": "reader.html"}.get(request.query.get("partial", ""), "page.html")
        headers = {"content-security-policy": _POLICY, "content-language": look.language, "vary": "accept-language, cookie"}
        if look.cookies:
            headers["set-cookie"] = look.cookies[0]
        return html_response(self._templates.render(template, values), 404 if is_gone else 200, headers)

    async def _list_values(self, request: Request, query: str) -> dict[str, Any]:
        catcher = self._desk.catcher
        terms = self._desk.terms(query)
        start = max(number_of(request.query, "start", 0), 0)
        messages = await self._desk.latest(terms, start=start, limit=_PAGE)
        run, store = catcher.offload.run, catcher.store
        counts = await run(store.counts)
        found = (await run(store.matching, terms)).total if terms else counts.total
        return {
            "messages": messages,
            "counts": counts,
            "found": found,
            "start": start,
            "page": _PAGE,
            "tags": list((await run(store.tags)).items())[:30],
            "here": f"{self._root}search?q={quote(query)}" if query else self._root,
            "tail": f"?q={quote(query)}" if query else "",
        }

    async def _message_values(self, request: Request, summary: CaughtSummary, words: Mapping[str, str]) -> dict[str, Any]:
        reading = await self._desk.reading(summary)
        tabs = [name for name in _TABS if name != "html" or reading.htmls]
        tab = request.query.get("tab", "")
        tab = tab if tab in tabs else tabs[0]
        host = request.header("host") or "localhost:8025"
        url = f"http://{host}{self._root}api/carteiro/v1/messages/{summary.id}/raw"
        text = reading.text(_MAX_SHOWN)
        return {
            "tabs": tabs,
            "tab": tab,
            "width": request.query.get("width", "full") if request.query.get("width") in {"tablet", "phone"} else "full",
            "remote": request.query.get("remote") == "1",
            "codes": find_codes(text, summary.subject),
            "attachments": [(leaf, leaf.part.size) for leaf in reading.leaves],
            "links": check_links(reading.html(), text if reading.texts else "") if tab == "checks" else [],
            "differences": differences(summary, words),
            "replay": replay_commands(summary, url),
            "content": await self._content(tab, summary, reading, text),
        }

    async def _content(self, tab: str, summary: CaughtSummary, reading: Reading, text: str) -> Any:
        """Return what a tab shows."""
        run = self._desk.catcher.offload.run
        if tab == "text":
            return text
        if tab == "source":
            return decode_bytes(reading.data[:_MAX_SHOWN])
        if tab == "headers":
            return [
                (field.name.decode("latin-1") or "?", decode_bytes(field.raw.partition(b":")[2]).strip())
                for field in reading.header.fields[:1_000]
            ]
        if tab == "parts":
            return list(_tree(reading.root))
        if tab == "checks" and reading.htmls:
            return (await run(self._html_check)).run(reading.html())
        if tab == "conversation":
            told = await run(self._desk.catcher.store.conversation, summary.number)
            return json.loads(told) if told else []
        return hashlib.sha256(reading.data).hexdigest() if tab == "truth" else None

    # Steps

    def _go(self, path: str, status: int = 303) -> Response:
        return Response(status, headers={"location": self._root + path}, content_type="")

    async def _delete(self, _request: Request, values: dict[str, str]) -> Response:
        await self._desk.catcher.delete([values["id"]])
        return self._go("")

    async def _mark_unread(self, _request: Request, values: dict[str, str]) -> Response:
        await self._desk.catcher.set_read([values["id"]], read=False)
        return self._go("")

    async def _delete_all(self, _request: Request, _values: dict[str, str]) -> Response:
        await self._desk.catcher.delete(None)
        return self._go("")


def _look(request: Request) -> _Look:
    """Return what the address asks for, else the cookie, else the browser."""
    known = dict(pair.strip().partition("=")[::2] for pair in request.header("cookie").split(";"))
    cookies: list[str] = []
    language, theme = request.query.get("lang", ""), request.query.get("theme", "")
    for name, value, allowed in (("carteiro-lang", language, LANGUAGES), ("carteiro-theme", theme, _THEMES)):
        if value in allowed:
            cookies.append(f"{name}={value}; Path=/; Max-Age=31536000; SameSite=Lax; HttpOnly")
    if language not in LANGUAGES:
        language = known.get("carteiro-lang", "")
    if language not in LANGUAGES:
        asked = [one.partition(";")[0].strip()[:2].lower() for one in request.header("accept-language").split(",")]
        language = next((one for one in asked if one in LANGUAGES), "en")
    if theme not in _THEMES:
        theme = known.get("carteiro-theme", "auto")
    return _Look(language, theme if theme in _THEMES else "auto", tuple(cookies))


def _tree(root: Part, depth: int = 0) -> Iterator[tuple[int, str, str, int]]:
    """Yield depth, media type, name and size of each part, at most a thousand."""
    waiting = [(root, depth)]
    for _ in range(1_000):
        if not waiting:
            return
        part, level = waiting.pop()
        name = decode_parameter_text(part.parameters, b"name") or ""
        yield min(level, 8), f"{part.type.decode('latin-1')}/{part.subtype.decode('latin-1')}", name, part.size
        inside = [part.message] if part.message is not None else part.children
        waiting += [(child, level + 1) for child in reversed(inside)]


def _who(summary: CaughtSummary) -> str:
    return (summary.sender.name or summary.sender.address) if summary.sender else summary.envelope.reverse_path


def _people(persons: Sequence[Person]) -> str:
    return ", ".join([f"{person.name} <{person.address}>" if person.name else person.address for person in persons[:50]])


def _when(milliseconds: int) -> str:
    at, now = time.localtime(milliseconds / 1_000), time.localtime()
    if at[:3] == now[:3]:
        return f"{at.tm_hour:02d}:{at.tm_min:02d}"
    return f"{at.tm_year}-{at.tm_mon:02d}-{at.tm_mday:02d}"


def _full(milliseconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(milliseconds / 1_000))


def _iso(milliseconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(milliseconds / 1_000))


def _size(count: int) -> str:
    if count < _KIB:
        return f"{count} B"
    return f"{count / _KIB:.1f} KiB" if count < _KIB * _KIB else f"{count / _KIB / _KIB:.1f} MiB"
