"""Where each key of a TOML text stands: tomllib tells values, this tells lines and spans.

Owns a small scanner over valid TOML: tables, arrays of tables, dotted and quoted
keys, inline tables and arrays in any depth, multi-line strings. It decides
nothing: whoever calls it has let tomllib accept the text first.

Fails: on text that tomllib refuses the outcome is some spans, never an exception
or an endless loop; every step moves forward.
Does not: read values. Its caller slices the text.

Sources: TOML 1.0.0 (toml.io), sections Keys, Table, Array of Tables, Inline Table.
"""

import bisect
import re
import tomllib
from dataclasses import dataclass

from appliance.config.problem import KeyPath

__all__ = ["Header", "Locator", "Span", "locate"]

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_KEY_PART = re.compile(r"""[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'""")
_LINE_END = re.compile(r"[^\n]*")
_STRING = re.compile(
    r'"""(?:[^"\\]|\\.|"{1,2}(?!"))*"{3,5}' r"|'''(?:[^']|'{1,2}(?!'))*'{3,5}" r'|"(?:[^"\\\n]|\\.)*"' r"|'[^'\n]*'",
    re.DOTALL,
)
_SCALAR = re.compile(r"[^,\]}#\n]*")


@dataclass(frozen=True, slots=True)
class Span:
    """Offsets of one key or list member; a member's ``start`` is that of its value."""

    start: int
    value_start: int
    value_end: int


@dataclass(frozen=True, slots=True)
class Header:
    """A ``[table]`` or ``[[table]]`` line; ``path`` ends in the position for the latter."""

    path: KeyPath
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Locator:
    """The places of one text."""

    spans: dict[KeyPath, Span]
    headers: tuple[Header, ...]
    newlines: tuple[int, ...]

    def line_at(self, offset: int) -> int:
        """Return the line of an offset, from 1."""
        return bisect.bisect_left(self.newlines, offset) + 1

    def line(self, path: KeyPath) -> int:
        """Return the line of a key, or of the nearest thing around it that stands in the file, or 0."""
        while path:
            span = self.spans.get(path)
            if span:
                return self.line_at(span.start)
            for header in self.headers:
                if header.path[: len(path)] == path:
                    return self.line_at(header.start)
            path = path[:-1]
        return 0


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.spans: dict[KeyPath, Span] = {}
        self.headers: list[Header] = []
        self._lengths: dict[KeyPath, int] = {}

    def _skip(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.text, self.at)
        if match is None:
            return ""
        self.at = match.end()
        return match.group()

    def _key(self) -> KeyPath:
        """Take a dotted key; quoted parts are unescaped by tomllib itself."""
        parts: list[str] = []
        while True:
            self._skip(_SPACE)
            token = self._skip(_KEY_PART)
            parts.append(_unquoted(token))
            self._skip(_SPACE)
            if not (token and self.text.startswith(".", self.at)):
                return tuple(parts)
            self.at += 1

    def run(self) -> None:
        table: KeyPath = ()
        while True:
            self._skip(_BLANK)
            if self.at >= len(self.text):
                return
            if self.text.startswith("[", self.at):
                table = self._header()
            else:
                self._pair(table)
            self._skip(_LINE_END)

    def _header(self) -> KeyPath:
        start = self.at
        is_array = self.text.startswith("[[", start)
        self.at += 2 if is_array else 1
        key = self._key()
        path: KeyPath = ()
        for part in key[:-1]:
            path += (part,)
            if path in self._lengths:
                path += (self._lengths[path] - 1,)
        path += key[-1:]
        if is_array:
            position = self._lengths.get(path, 0)
            self._lengths[path] = position + 1
            path += (position,)
        self._skip(_LINE_END)
        self.headers.append(Header(path, start, self.at))
        return path

    def _pair(self, table: KeyPath) -> None:
        """Take ``key = value``; containers inside are walked with a stack of our own, so depth costs no recursion."""
        containers: list[_Container] = []
        member: tuple[KeyPath, int] | None = self._pair_key(table)
        while member is not None:
            path, start = member
            value_start = self.at
            opener = self.text[value_start : value_start + 1]
            if opener in {"[", "{"}:
                self.at += 1
                containers.append(_Container(path, start, value_start, 0 if opener == "[" else None))
            else:
                if not self._skip(_STRING):
                    self._skip(_SCALAR)
                self._record(path, start, value_start)
            member = self._next_member(containers)

    def _pair_key(self, table: KeyPath) -> tuple[KeyPath, int]:
        start = self.at
        path = table + self._key()
        if self.text.startswith("=", self.at):
            self.at += 1
        self._skip(_SPACE)
        return path, start

    def _next_member(self, containers: "list[_Container]") -> tuple[KeyPath, int] | None:
        """Return path and start of the next value inside the innermost container; close those that end here."""
        while containers:
            container = containers[-1]
            self._skip(_BLANK)
            if self.text.startswith(",", self.at):
                self.at += 1
                self._skip(_BLANK)
            following = self.text[self.at : self.at + 1]
            if following in {"]", "}"}:
                self.at += 1
                self._record(container.path, container.start, container.value_start)
                containers.pop()
            elif not following or self.at == container.seen:
                return None
            elif container.position is None:
                container.seen = self.at
                return self._pair_key(container.path)
            else:
                container.seen = self.at
                container.position += 1
                return (*container.path, container.position - 1), self.at
        return None

    def _record(self, path: KeyPath, start: int, value_start: int) -> None:
        end = value_start + len(self.text[value_start : self.at].rstrip())
        self.spans.setdefault(path, Span(start, value_start, end))


@dataclass(slots=True)
class _Container:
    """An inline table or array that is still open. ``position``: the next list member, None in a table; ``seen``: guards progress."""

    path: KeyPath
    start: int
    value_start: int
    position: int | None
    seen: int = -1


def _unquoted(token: str) -> str:
    if token[:1] not in {'"', "'"}:
        return token
    try:
        return str(tomllib.loads(f"key = {token}")["key"])
    except tomllib.TOMLDecodeError:
        return token


def locate(text: str) -> Locator:
    """Return the places of all keys of a TOML text.

    Source: tomllib reads CRLF as LF; offsets here are those of ``text`` as given.
    """
    scanner = _Scanner(text)
    scanner.run()
    newlines = tuple(match.start() for match in re.finditer("\n", text))
    return Locator(scanner.spans, tuple(scanner.headers), newlines)
