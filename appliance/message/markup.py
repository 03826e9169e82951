"""HTML cut into tags and text, in one pass.

Owns how broken markup is read: as browsers read it. A tag or comment that never
ends swallows the rest, so nothing is looked at twice, whatever comes.

Fails: never.

Sources: WHATWG HTML section 13.2.5 (tokenization).
"""

import re
from collections.abc import Iterator
from html import unescape
from typing import Final, NamedTuple

__all__ = ["EndTag", "StartTag", "Text", "tokens"]

_NAME: Final = re.compile(r"[a-zA-Z][^\s/>]*+")
_ATTRIBUTES: Final = re.compile(r"""(?:[^>"'=]++|=\s*+(?:"[^"]*+"|'[^']*+'|[^\s>"']*+)|["'])*+""")
_ATTRIBUTE: Final = re.compile(r"""([^\s=>"'/][^\s=>/]*+)(?:\s*+=\s*+(?:"([^"]*+)"|'([^']*+)'|([^\s>]*+)))?""")
_LONG_REFERENCE: Final = re.compile(r"&#[xX]?[0-9a-fA-F]{8,}+;?")  # html.unescape raises on thousands of digits
_RAW: Final = frozenset({"script", "style", "textarea", "title", "xmp"})
_MAX_ATTRIBUTES: Final = 200


class StartTag(NamedTuple):
    name: str
    attributes: list[tuple[str, str]]


class EndTag(NamedTuple):
    name: str


class Text(NamedTuple):
    """``data`` has references resolved, but inside of scripts and style sheets."""

    data: str


def tokens(html: str) -> Iterator[StartTag | EndTag | Text]:
    """Yield the tags and texts of a document in order; comments and declarations are left out."""
    at, length, raw = 0, len(html), ""
    lower = html.lower() if len(html.lower()) == length else html
    while at < length:
        if raw:
            end = lower.find(f"</{raw}", at)
            yield Text(html[at : end if end >= 0 else length])
            at, raw = (end if end >= 0 else length), ""
            continue
        mark = html.find("<", at)
        if mark != at:
            yield Text(_resolved(html[at : mark if mark >= 0 else length]))
            if mark < 0:
                return
        token, at = _tag(html, mark)
        if token is not None:
            yield token
            if isinstance(token, StartTag) and token.name in _RAW:
                raw = token.name


def _tag(html: str, mark: int) -> tuple[StartTag | EndTag | Text | None, int]:
    """Return what begins with the ``<`` at ``mark``, and where the rest begins."""
    length = len(html)
    if html.startswith("<!--", mark):
        end = html.find("-->", mark + 4)
        return None, end + 3 if end >= 0 else length
    closing = html.startswith("</", mark)
    name = _NAME.match(html, mark + (2 if closing else 1))
    if name is None:
        if html[mark + 1 : mark + 2] in {"!", "?", "/"}:
            end = html.find(">", mark)
            return None, end + 1 if end >= 0 else length
        return Text("<"), mark + 1
    inside = _ATTRIBUTES.match(html, name.end())
    end = inside.end() if inside is not None else name.end()
    if end >= length:
        return None, length
    word = name[0].lower()
    if closing:
        return EndTag(word), end + 1
    return StartTag(word, _attributes(html[name.end() : end])), end + 1


def _attributes(text: str) -> list[tuple[str, str]]:
    found: dict[str, str] = {}
    for one in _ATTRIBUTE.finditer(text):
        value = next((group for group in one.groups()[1:] if group is not None), "")
        found.setdefault(one[1].lower(), _resolved(value))
        if len(found) == _MAX_ATTRIBUTES:
            break
    return list(found.items())


def _resolved(text: str) -> str:
    return unescape(_LONG_REFERENCE.sub("\ufffd", text)) if "&" in text else text
