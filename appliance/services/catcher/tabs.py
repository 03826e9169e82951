"""The ways to look at one message, each a tab beside the others.

Owns what a tab shows and how much of a large message: enough to see what it is,
never so much that a browser suffers.

Fails: never.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from appliance.message.extract import find_codes
from appliance.message.html import elements
from appliance.message.part import Part
from appliance.message.reading import Leaf, Reading
from appliance.message.text import decode_bytes, decode_header, decode_parameter_text
from appliance.model.caught import CaughtSummary
from appliance.net.http_messages import Request
from appliance.policy.html_care import care_faults
from appliance.policy.html_check import HtmlCheck
from appliance.policy.link_check import check_links, find_links
from appliance.services.catcher.desk import Desk
from appliance.services.catcher.frame import Places
from appliance.services.catcher.mailpit_shapes import list_unsubscribe
from appliance.services.catcher.truth import differences, replay_commands

__all__ = ["TABS", "Tabs"]

TABS: Final = ("html", "text", "source", "headers", "parts", "attachments", "checks", "conversation", "truth")
WIDTHS: Final = ("full", "tablet", "phone")
SCHEMES: Final = ("light", "dark", "forced")
_MAX_SHOWN: Final = 1_048_576
_MAX_PREVIEW: Final = 2_000
_CLIPPED: Final = 102 * 1_024
"""Gmail shows no more of a message's HTML."""
_URL = re.compile(r"https?://[^\s<>\"'\])}]{1,2000}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Shown:
    """One message on its way to the page."""

    summary: CaughtSummary
    reading: Reading
    text: str


class Tabs:
    """``html_check`` returns the rules, loaded when they are first needed."""

    def __init__(self, desk: Desk, html_check: Callable[[], HtmlCheck], places: Places) -> None:
        self._desk = desk
        self._html_check = html_check
        self._places = places

    async def values(self, request: Request, summary: CaughtSummary, words: Mapping[str, str]) -> dict[str, Any]:
        """Return what the pane of a message needs."""
        reading = await self._desk.reading(summary)
        asked = request.query
        tabs = [name for name in TABS if (name != "html" or reading.htmls) and (name != "attachments" or reading.leaves)]
        tab = asked["tab"] if asked.get("tab") in tabs else tabs[0]
        shown = _Shown(summary, reading, reading.text(_MAX_SHOWN))
        scheme, host = "https" if request.secure else "http", request.header("host") or "localhost:8025"
        url = f"{scheme}://{host}{self._places.root}api/carteiro/v1/messages/{summary.id}/raw"
        kept = {name: asked[name] for name in ("q",) if asked.get(name)}
        view = {
            "width": asked["width"] if asked.get("width") in WIDTHS else "full",
            "scheme": asked["scheme"] if asked.get("scheme") in SCHEMES else "light",
            "remote": "1" if asked.get("remote") == "1" else "",
        }

        def link(**changed: str) -> str:
            """Return the address of this message with something changed."""
            values = {**kept, "tab": tab, **(view if tab == "html" else {}), **changed}
            return "?" + urlencode({name: value for name, value in values.items() if value})

        return view | {
            "summary": summary, "tabs": tabs, "tab": tab, "link": link, "tab_link": lambda name: "?" + urlencode({**kept, "tab": name}),
            "widths": WIDTHS, "schemes": SCHEMES, "codes": find_codes(shown.text, summary.subject), "attachments": _files(reading),
            "first_links": _first_links(reading, shown.text), "differences": differences(summary, words),
            "replay": replay_commands(summary, url, self._places.smtp), "content": await self._content(tab, shown),
        }  # fmt: skip

    async def _content(self, tab: str, shown: _Shown) -> Any:
        """Return what a tab shows."""
        reading = shown.reading
        if tab == "conversation":
            told = await self._desk.catcher.offload.run(self._desk.catcher.store.conversation, shown.summary.number)
            return json.loads(told) if told else []
        if tab == "checks":
            return await self._checks(shown)
        made: dict[str, Callable[[], Any]] = {
            "text": lambda: list(linked(shown.text)),
            "source": lambda: decode_bytes(reading.data[:_MAX_SHOWN]),
            "headers": lambda: _headers(reading),
            "parts": lambda: list(_tree(reading.root)),
            "attachments": lambda: [(leaf, size, _preview(reading, leaf)) for leaf, size in _files(reading)],
            "truth": lambda: hashlib.sha256(reading.data).hexdigest(),
        }
        return made[tab]() if tab in made else None

    async def _checks(self, shown: _Shown) -> dict[str, Any]:
        """Return every check of a message."""
        reading, html = shown.reading, shown.reading.html()
        check = await self._desk.catcher.offload.run(self._html_check) if html else None
        return {
            "links": check_links(html, shown.text if reading.texts else ""),
            "html": check.run(html) if check is not None else None,
            "care": care_faults(html) if html else {},
            "unsubscribe": list_unsubscribe(reading),
            "pictures": [(leaf, size) for leaf, size in _files(reading) if leaf.content_type.startswith("image/")],
            "html_size": len(html.encode("utf-8", "replace")),
            "is_clipped": len(html) > _CLIPPED,
            "missing_in": missing_in,
        }


def missing_in(warning: Mapping[str, Any]) -> list[str]:
    """Return the mail programs that do not know a feature, each once."""
    return list(dict.fromkeys([f"{one['Family']} ({one['Platform']})" for one in warning["Results"] if one["Support"] == "no"]))[:12]


def linked(text: str) -> Iterator[tuple[str, bool]]:
    """Yield a text in pieces, each with whether it is a web address."""
    at = 0
    for found in _URL.finditer(text):
        url = found[0].rstrip(".,;:!?'")
        if found.start() > at:
            yield text[at : found.start()], False
        yield url, True
        at = found.start() + len(url)
    if at < len(text):
        yield text[at:], False


def _first_links(reading: Reading, text: str) -> list[str]:
    """Return the links that a person would follow, not the pictures."""
    found, _ = elements(reading.html(_MAX_SHOWN)) if reading.htmls else ([], "")
    pictures = {attributes.get("src", "").strip() for tag, attributes in found if tag == "img"}
    return [url for url in find_links(reading.html(_MAX_SHOWN), text if reading.texts else "") if url not in pictures][:3]


def _files(reading: Reading) -> Sequence[tuple[Leaf, int]]:
    return [(leaf, leaf.part.size * 3 // 4 if leaf.part.encoding == b"base64" else leaf.part.size) for leaf in reading.leaves]


def _preview(reading: Reading, leaf: Leaf) -> str:
    """Return how a text file begins, nothing for other files."""
    if not leaf.content_type.startswith("text/") and leaf.content_type not in {"application/json", "application/xml", "message/rfc822"}:
        return ""
    return reading.string(leaf.part, _MAX_PREVIEW)


def _headers(reading: Reading) -> list[tuple[str, str, str]]:
    """Return name, value as it stands and, when it is another, value decoded."""
    found = []
    for field in reading.header.fields[:1_000]:
        raw = decode_bytes(field.raw.partition(b":")[2]).strip()
        decoded = decode_header(field.value) if "=?" in raw else ""
        found.append((field.raw.partition(b":")[0].decode("latin-1").strip() or "?", raw, decoded))
    return found


def _tree(root: Part) -> Iterator[dict[str, Any]]:
    """Yield each part, at most a thousand, with its number where it can be fetched alone."""
    waiting = [(root, 0, "")]
    for _ in range(1_000):
        if not waiting:
            return
        part, level, number = waiting.pop()
        inside = [part.message] if part.message is not None else part.children
        yield {
            "depth": min(level, 8), "number": number, "type": f"{part.type.decode('latin-1')}/{part.subtype.decode('latin-1')}",
            "name": decode_parameter_text(part.parameters, b"name") or "", "size": part.size, "encoding": part.encoding.decode("latin-1"),
            "charset": (part.parameter(b"charset") or b"").decode("latin-1"), "is_leaf": not inside,
        }  # fmt: skip
        below = [(child, level + 1, f"{number}.{at}" if number else str(at)) for at, child in enumerate(inside, 1)]
        waiting += below[::-1]
