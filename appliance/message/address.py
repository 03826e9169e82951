"""Address lists: parsed as people's programs write them, formatted as RFC 5322 wants them.

Owns mailbox lists, groups, comments, quoted strings, obsolete routes and
everything broken that still shows an address. A regular expression takes the
shapes that nearly all mail has; whatever it does not take goes to a tokenizer
that is slower and takes anything. Both are linear. Values are bytes as they
stand in the message: encoded words stay encoded (``text`` decodes them).

Fails: never. Text that holds no address gives entries without domain, or none.
Does not: check whether an address may be used in SMTP; that is its grammar's.

Sources: RFC 5322 section 3.4 and 4.4, RFC 6532 (8-bit), RFC 7103 section 7.7;
Dovecot's message-address.c for the comment as name of a bare address.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from appliance.message.text import encode_phrase

__all__ = ["Address", "Group", "addresses", "format_address", "format_address_list", "parse_address_list"]

MAX_ADDRESSES = 5_000  # of one field; mail with more is spam or an attack on the parser
_ATEXT = rb"A-Za-z0-9!#$%&'*+/=?^_`{|}~\x80-\xff-"

# phrase <local@domain> or local@domain, up to a comma or the end. No comment, no route, no quoted local part.
_ORDINARY = re.compile(
    rb"[ \t]*+(?:(?:\"(?P<quoted>[^\"\\\r\n]*+)\"|(?P<phrase>[" + _ATEXT + rb"][" + _ATEXT + rb". \t]*+))?[ \t]*+"
    rb"<(?P<local>[" + _ATEXT + rb".]++)@(?P<domain>[" + _ATEXT + rb".]++)>"
    rb"|(?P<bare_local>[" + _ATEXT + rb".]++)@(?P<bare_domain>[" + _ATEXT + rb".]++))[ \t]*+(?:,|\Z)"
)
_TOKEN = re.compile(
    rb"(?P<space>[ \t\r\n]+)|(?P<atom>[" + _ATEXT + rb"]+)|(?P<quoted>\"(?:[^\"\\]|\\.)*+\"?)|(?P<literal>\[[^\[\]]*+\]?)"
    rb"|(?P<special>[<>@,:;.])|(?P<comment>\()|(?P<other>.)",
    re.DOTALL,
)
_COMMENT_EDGE = re.compile(rb"\\.|[()]", re.DOTALL)
_QUOTED_PAIR = re.compile(rb"\\(.)", re.DOTALL)
_is_dot_atom = re.compile(rb"[" + _ATEXT + rb"]+(?:\.[" + _ATEXT + rb"]+)*").fullmatch


class Address(NamedTuple):
    """``name`` is the display name unquoted, ``local_part`` without quotes; ``route`` an obsolete source route."""

    name: bytes
    local_part: bytes
    domain: bytes
    route: bytes = b""

    @property
    def spec(self) -> bytes:
        """``local_part@domain`` in wire form, quoted where it must be; without a domain just the local part."""
        local_part = self.local_part
        if not _is_dot_atom(local_part):
            local_part = _quote(local_part)
        return local_part + b"@" + self.domain if self.domain else local_part

    @property
    def path(self) -> str:
        """``spec`` as envelopes hold it; bytes that are no UTF-8 become U+FFFD."""
        return self.spec.decode("utf-8", "replace")

    def to_bytes(self) -> bytes:
        """Return the mailbox as it stands in a header field."""
        if not self.name:
            return self.spec
        plain = self.name.isascii() and _is_dot_atom(self.name.replace(b" ", b""))
        encoded = self.name.startswith(b"=?") and self.name.endswith(b"?=")
        phrase = self.name if (plain and b"." not in self.name) or encoded else _quote(self.name)
        return phrase + b" <" + self.spec + b">"


class Group(NamedTuple):
    name: bytes
    members: tuple[Address, ...]


def parse_address_list(value: bytes, *, limit: int = MAX_ADDRESSES) -> list[Address | Group]:
    """Parse the unfolded value of From, To and their like; what is behind ``limit`` addresses is left out."""
    found: list[Address | Group] = []
    position = 0
    length = len(value)
    while position < length and len(found) < limit:
        match = _ORDINARY.match(value, position)
        if match is None:
            return _Parser(value, limit).parse()
        quoted, phrase, local_part, domain, bare_local, bare_domain = match.groups()
        if bare_local is not None:
            found.append(Address(b"", bare_local, bare_domain))
        else:
            name = quoted if quoted is not None else (phrase or b"").rstrip()
            found.append(Address(name, local_part, domain))
        position = match.end()
    return found


def addresses(value: bytes, *, limit: int = MAX_ADDRESSES) -> list[Address]:
    """Parse an address list and return its addresses, those inside groups too."""
    return list(_flatten(parse_address_list(value, limit=limit)))


def _flatten(entries: Sequence[Address | Group]) -> Iterator[Address]:
    for entry in entries:
        if isinstance(entry, Group):
            yield from entry.members
        else:
            yield entry


def format_address(name: str, address: str) -> bytes:
    """Return ``name <address>``; a name that is not ASCII becomes encoded words, line ends in either become spaces."""
    spec = " ".join(address.split()).encode()
    phrase = encode_phrase(" ".join(name.split()))
    return phrase + b" <" + spec + b">" if phrase else spec


def format_address_list(entries: Sequence[Address | Group]) -> bytes:
    """Return the value of an address field, folded after each entry."""
    texts = [
        entry.name + b": " + b", ".join([member.to_bytes() for member in entry.members]) + b";"
        if isinstance(entry, Group)
        else entry.to_bytes()
        for entry in entries
    ]
    return b",\r\n ".join(texts)


def _quote(text: bytes) -> bytes:
    return b'"' + text.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def _unquote(token: bytes) -> bytes:
    inner = token[1:-1] if token.endswith(b'"') and len(token) > 1 else token[1:]
    return _QUOTED_PAIR.sub(rb"\1", inner) if b"\\" in inner else inner


class _Parser:
    """Takes any bytes. One pass over the tokens; what was read since the last separator waits in ``_words``.

    ``_words`` holds (kind, text) of atoms, quoted strings, dots and spaces before
    ``<`` or ``@``; ``_angle`` the same inside angle brackets.
    """

    def __init__(self, value: bytes, limit: int) -> None:
        self._value = value
        self._limit = limit
        self._found: list[Address | Group] = []
        self._count = 0
        self._group: bytes | None = None
        self._members: list[Address] = []
        self._begin()

    def _begin(self) -> None:
        self._words: list[tuple[str, bytes]] = []
        self._angle: list[tuple[str, bytes]] | None = None
        self._closed = False
        self._comment = b""

    def parse(self) -> list[Address | Group]:
        position = 0
        length = len(self._value)
        while position < length and self._count < self._limit:
            match = _TOKEN.match(self._value, position)
            assert match is not None  # ``other`` takes any byte
            kind = match.lastgroup or "other"
            position = match.end()
            if kind == "comment":
                position = self._take_comment(position)
            else:
                self._take(kind, match.group())
        self._end_address()
        self._end_group()
        return self._found

    def _take(self, kind: str, text: bytes) -> None:
        if kind == "special" and text == b"<":
            if self._angle is None:
                self._angle = []
        elif kind == "special" and text == b">":
            self._closed = self._angle is not None
        elif self._angle is not None and not self._closed:
            self._take_in_angle(kind, text)
        elif kind == "special" and text in {b",", b";", b":"}:
            self._separate(text)
        elif not self._closed:
            if not self._words:
                if kind == "space":
                    return
                self._comment = b""  # only one behind an address names its owner
            self._words.append((kind, text))

    def _take_in_angle(self, kind: str, text: bytes) -> None:
        assert self._angle is not None
        if text == b"," and not any(word == b"@" for _, word in self._angle[:1]):
            # "<a@b, c@d>" without its closing bracket: the comma separates, unless a route is being read
            self._separate(text)
        elif kind != "space":
            self._angle.append((kind, text))

    def _separate(self, mark: bytes) -> None:
        if mark == b":":
            if self._group is None and not any(text == b"@" for _, text in self._words):
                self._group = _phrase(self._words)
                self._begin()
            else:
                self._words.append(("atom", mark))
            return
        self._end_address()
        if mark == b";":
            self._end_group()

    def _take_comment(self, position: int) -> int:
        """Skip a nested comment whose opening parenthesis was read; remember the text of the last one."""
        depth = 1
        start = position
        while depth:
            edge = _COMMENT_EDGE.search(self._value, position)
            if edge is None:
                position = end = len(self._value)
                break
            position = edge.end()
            end = edge.start()
            mark = edge.group()
            depth += 1 if mark == b"(" else -1 if mark == b")" else 0
        self._comment = _QUOTED_PAIR.sub(rb"\1", self._value[start:end]).strip()
        if self._words and self._angle is None:
            self._words.append(("space", b" "))
        return position

    def _end_address(self) -> None:
        address = self._address()
        self._begin()
        if address is None:
            return
        self._count += 1
        if self._group is None:
            self._found.append(address)
        else:
            self._members.append(address)

    def _address(self) -> Address | None:
        if self._angle is not None:
            route, words = _take_route(self._angle)
            local_part, domain = _split_spec(words)
            if not local_part and not domain and not self._words:
                return None
            return Address(_phrase(self._words) or self._comment, local_part, domain, route)
        if not any(kind != "space" for kind, _ in self._words):
            return None
        local_part, domain = _split_spec(self._words)
        return Address(self._comment, local_part, domain)

    def _end_group(self) -> None:
        if self._group is not None:
            self._found.append(Group(self._group, tuple(self._members)))
        self._group = None
        self._members = []


def _phrase(words: list[tuple[str, bytes]]) -> bytes:
    """Join a display name; quoted strings lose their quotes, runs of space become one."""
    pieces = [_unquote(text) if kind == "quoted" else b" " if kind == "space" else text for kind, text in words]
    return b"".join(pieces).strip()


def _take_route(words: list[tuple[str, bytes]]) -> tuple[bytes, list[tuple[str, bytes]]]:
    """Take an obsolete ``@a,@b:`` from the front (RFC 5322 section 4.4, obs-route)."""
    if not words or words[0][1] != b"@":
        return b"", words
    for index, (kind, text) in enumerate(words):
        if kind == "special" and text == b":":
            return b"".join([text for _, text in words[:index]]), words[index + 1 :]
    return b"", words[1:]


def _split_spec(words: list[tuple[str, bytes]]) -> tuple[bytes, bytes]:
    """Split at the last ``@``; space inside is obsolete syntax and goes, between two words it stays."""
    at = next((index for index in range(len(words) - 1, -1, -1) if words[index][1] == b"@"), -1)
    if at < 0:
        return _phrase(words), b""
    local_part = b"".join([_unquote(text) if kind == "quoted" else text for kind, text in words[:at] if kind != "space"])
    domain = b"".join([text for kind, text in words[at + 1 :] if kind != "space"])
    return local_part, domain
