"""HTML of messages: pictures that come with the message, and the form in which a page can embed it.

Owns no judgement of what is dangerous: who shows HTML does so under a policy that
forbids it. Nothing here runs longer than the text is.

Fails: never.

Sources: RFC 2392 (cid), WHATWG HTML section 13.1 (void elements, tbody).
"""

import re
from collections.abc import Mapping
from html import escape
from urllib.parse import unquote

from appliance.message.markup import EndTag, StartTag, Text, tokens

__all__ = ["elements", "embedded", "with_parts", "without_frames"]

_CID = re.compile(r"""(?P<before>[\s"'(=])cid:(?P<id>[^\s"'()<>]{1,400})""", re.IGNORECASE)
_FRAME = re.compile(r"<(/?)(?=(?:i?frame|fencedframe)\b)", re.IGNORECASE)
_VOID = frozenset({"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"})
_HEAD = frozenset({"title", "meta", "link", "style", "base", "script"})
_MAX_DEPTH = 500
_RAW = frozenset({"style", "script"})


def with_parts(html: str, addresses: Mapping[str, str]) -> str:
    """Put addresses in the place of ``cid:`` references; ones that lead nowhere stay."""

    def address(found: re.Match[str]) -> str:
        known = addresses.get(found["id"]) or addresses.get(unquote(found["id"]))
        return found["before"] + known if known else found[0]

    return _CID.sub(address, html)


def without_frames(html: str) -> str:
    """Turn frames into elements that no browser knows: even for one that a policy forbids, browsers open a connection ahead."""
    return _FRAME.sub(r"<\1x-", html)


class _Writer:
    """Writes a document again, whole, with what browsers add: html, head, body, tbody, closed elements."""

    def __init__(self) -> None:
        self.pieces: list[str] = ["<html><head>"]
        self._open: list[str] = []
        self._in_body = False

    def _begin_body(self, attributes: str = "") -> None:
        if not self._in_body:
            self._in_body = True
            self.pieces.append(f"</head><body{attributes}>")

    def start(self, tag: str, attributes: list[tuple[str, str]]) -> None:
        if tag in {"html", "head"}:
            return
        if tag == "body":
            self._begin_body(_written(attributes))
            return
        if tag not in _HEAD:
            self._begin_body()
        if tag == "tr" and self._open[-1:] == ["table"]:
            self._open.append("tbody")
            self.pieces.append("<tbody>")
        if tag == "a" and any(name == "href" for name, _ in attributes):
            attributes = [*sorted(attributes), ("target", "_blank"), ("rel", "noreferrer noopener")]
        end = "/>" if tag in _VOID else ">"
        self.pieces.append(f"<{tag}{_written(attributes)}{end}")
        if tag not in _VOID and len(self._open) < _MAX_DEPTH:
            self._open.append(tag)

    def end(self, tag: str) -> None:
        if tag in _VOID or tag not in self._open:
            return
        while self._open:
            last = self._open.pop()
            self.pieces.append(f"</{last}>")
            if last == tag:
                break

    def text(self, data: str) -> None:
        if self._open[-1:] and self._open[-1] in _RAW:
            self.pieces.append(data)
        elif data.strip() or self._in_body:
            self._begin_body()
            self.pieces.append(escape(data, quote=False))

    def finish(self, extra: str) -> str:
        while self._open:
            self.pieces.append(f"</{self._open.pop()}>")
        self._begin_body()
        return "".join(self.pieces).rstrip() + extra + "</body></html>"


def _written(attributes: list[tuple[str, str]]) -> str:
    return "".join([f' {name}="{escape(value)}"' for name, value in attributes])


def embedded(html: str, nonce: str) -> str:
    """Return a document whose links open outside, and that tells the page around it how high it is.

    ``nonce``: of the script that tells.
    """
    writer = _Writer()
    for token in tokens(html):
        if isinstance(token, StartTag):
            writer.start(token.name, token.attributes)
        elif isinstance(token, EndTag):
            writer.end(token.name)
        else:
            writer.text(token.data)
    script = (
        f'\n<script nonce="{nonce}">\n\t\t\t\tif (typeof window.parent == "object") {{\n'
        "\t\t\t\t\twindow.addEventListener('load', function () {\n"
        '\t\t\t\t\t\twindow.parent.postMessage({ messageHeight: document.body.scrollHeight}, "*")\n'
        "\t\t\t\t\t})\n\t\t\t\t}\n\t\t\t</script>"
    )
    return writer.finish(script)


def elements(html: str, limit: int = 20_000) -> tuple[list[tuple[str, dict[str, str]]], str]:
    """Return the elements with their attributes in order, and all text of style elements."""
    found: list[tuple[str, dict[str, str]]] = []
    styles: list[str] = []
    in_style = False
    for token in tokens(html):
        if isinstance(token, Text):
            if in_style:
                styles.append(token.data)
            continue
        in_style = isinstance(token, StartTag) and token.name == "style"
        if isinstance(token, StartTag) and len(found) < limit:
            found.append((token.name, dict(token.attributes)))
    return found, "\n".join(styles)
