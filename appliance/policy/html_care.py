"""What the HTML of a message lacks for people who hear it, enlarge it, or read it with pictures off.

Owns the rules that can be judged from the text alone; no style is computed and
nothing is fetched. Each fault is told once, with how often it was found.

Fails: never.

Sources: WCAG 2.2 (1.1.1, 1.3.1, 1.4.4, 2.4.2, 2.4.4, 3.1.1), Accessible Email's guidance on tables for layout.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from appliance.message.markup import EndTag, StartTag, Text, tokens

__all__ = ["RULES", "care_faults"]

RULES: Final = ("alt", "lang", "title", "link-text", "vague-link", "headings", "layout-table", "small-text", "picture-only")
_VAGUE: Final = frozenset({"click here", "here", "more", "read more", "link", "clique aqui", "aqui", "saiba mais", "leia mais", "mais"})
_SMALL = re.compile(r"font-size\s*:\s*(\d{1,3}(?:\.\d{1,3})?)(px|pt)", re.IGNORECASE)
_LEAST_PX: Final = 11.0
_PT: Final = 4 / 3
_MOST_TOKENS: Final = 50_000


def care_faults(html: str) -> dict[str, int]:
    """Return each rule that is broken with the number of places, in the order of ``RULES``."""
    found = Counter(_Looking().run(html))
    return {rule: found[rule] for rule in RULES if found[rule]}


class _Looking:
    """One pass over a document."""

    def __init__(self) -> None:
        self._link: list[str] | None = None
        self._link_has_picture = False
        self._is_style = False
        self._level = 0
        self._has_lang = self._has_title = self._in_title = False
        self._pictures = 0
        self._letters = 0

    def run(self, html: str) -> Iterator[str]:
        for number, token in enumerate(tokens(html)):
            if number >= _MOST_TOKENS:
                break
            if isinstance(token, StartTag):
                yield from self._start(token.name, dict(token.attributes))
            elif isinstance(token, EndTag):
                yield from self._end(token.name)
            else:
                yield from self._text(token)
        if not self._has_lang:
            yield "lang"
        if not self._has_title:
            yield "title"
        if self._pictures and self._letters < 20:
            yield "picture-only"

    def _start(self, tag: str, attributes: Mapping[str, str]) -> Iterator[str]:
        self._is_style, self._in_title = tag == "style", tag == "title"
        self._has_lang |= tag in {"html", "body"} and bool(attributes.get("lang"))
        yield from self._small(attributes.get("style", ""))
        if tag == "img":
            self._pictures += 1
            self._link_has_picture |= bool(attributes.get("alt", "").strip())
            if "alt" not in attributes:
                yield "alt"
        elif tag == "a" and attributes.get("href"):
            self._link, self._link_has_picture = [], bool(attributes.get("aria-label") or attributes.get("title"))
        elif tag == "table" and attributes.get("role") not in {"presentation", "none", "table", "grid"}:
            yield "layout-table"
        elif re.fullmatch("h[1-6]", tag):
            level, before = int(tag[1]), self._level
            self._level = level
            if level > before + 1:
                yield "headings"

    def _end(self, tag: str) -> Iterator[str]:
        self._is_style = self._in_title = False
        if tag == "a" and self._link is not None:
            text = " ".join("".join(self._link).split()).lower()
            if not text and not self._link_has_picture:
                yield "link-text"
            elif text.rstrip(" .:>»→") in _VAGUE:
                yield "vague-link"
            self._link = None

    def _text(self, token: Text) -> Iterator[str]:
        if self._is_style:
            yield from self._small(token.data)
            return
        shown = token.data.strip()
        if self._in_title:
            self._has_title |= bool(shown)
            return
        self._letters += len(shown)
        if self._link is not None:
            self._link.append(token.data)

    @staticmethod
    def _small(style: str) -> Iterator[str]:
        for number, unit in _SMALL.findall(style):
            pixels = float(number) * (_PT if unit.lower() == "pt" else 1)
            # Size 0 and 1 hide the words that list views show beside the subject.
            if 1 < pixels < _LEAST_PX:
                yield "small-text"
