"""Content-Type, Content-Disposition and their parameters, and the other Content-* fields, read tolerantly over bytes.

Owns tokens, quoted values, comments, missing semicolons, values with characters
that should have been quoted, and RFC 2231 continuations put together again.

Fails: never; what cannot be read is skipped up to the next semicolon.

Sources: RFC 2045 section 5.1, RFC 2183, RFC 2231 sections 3 and 4; the joined
form ``name*`` of an encoded parameter is what Dovecot shows in BODYSTRUCTURE.
"""

import re
from urllib.parse import quote_from_bytes, unquote_to_bytes

__all__ = [
    "Parameters",
    "decode_parameter",
    "parse_disposition",
    "parse_encoding",
    "parse_languages",
    "parse_media_type",
    "strip_comments",
]

Parameters = tuple[tuple[bytes, bytes], ...]

MAX_PARAMETERS = 200
MAX_VALUE = 16_384

_MEDIA_TYPE = re.compile(rb"[ \t\r\n]*+([^\s/;()<>@,:\\\"\[\]?=]++)[ \t\r\n]*+/[ \t\r\n]*+([^\s/;()<>@,:\\\"\[\]?=]++)")
_DISPOSITION = re.compile(rb"[ \t\r\n\"]*+([^\s/;()<>@,:\\\"\[\]?=]++)")
_ENCODING = re.compile(rb"[ \t\r\n]*+([^\s/;()<>@,:\\\"\[\]?=]++)[ \t\r\n]*+(?:;|\Z)")
_LANGUAGE = re.compile(rb"[ \t\r\n]*+([A-Za-z0-9!#$%&'*+/=?^_`{|}~\x80-\xff-]++)")
_PARAMETER = re.compile(
    rb"([^\s;=\"]++)[ \t\r\n]*+=[ \t\r\n]*+(?:\"((?:[^\"\\]|\\.)*+)\"?|([^;\s]*+))",
    re.DOTALL,
)
_SEPARATORS = re.compile(rb"[;\s]*+")
_QUOTED_PAIR = re.compile(rb"\\(.)", re.DOTALL)
_COMMENT_EDGE = re.compile(rb"\\.|\"(?:[^\"\\]|\\.)*+\"?|[()]", re.DOTALL)
_CONTINUED = re.compile(rb"([^*]+)\*([0-9]{1,3})(\*?)").fullmatch


def parse_media_type(value: bytes) -> tuple[bytes, bytes, Parameters] | None:
    """Return type, subtype (both lower case) and parameters of a Content-Type; None when there is no ``type/subtype``.

    Source:   RFC 2045 section 5.2: what cannot be read counts as text/plain, which is the caller's part.
    """
    if b"(" in value:
        value = strip_comments(value)
    found = _MEDIA_TYPE.match(value)
    if found is None:
        return None
    return found.group(1).lower(), found.group(2).lower(), _parameters(value, found.end())


def parse_disposition(value: bytes) -> tuple[bytes, Parameters] | None:
    """Return the disposition, lower case, and its parameters; None when there is none."""
    if b"(" in value:
        value = strip_comments(value)
    found = _DISPOSITION.match(value)
    if found is None:
        return None
    return found.group(1).lower(), _parameters(value, found.end())


def parse_encoding(value: bytes) -> bytes | None:
    """Return the mechanism of a Content-Transfer-Encoding, lower case; None for what is no token.

    Parameters, which it cannot have, are tolerated.
    """
    if b"(" in value:
        value = strip_comments(value)
    found = _ENCODING.match(value)
    return found.group(1).lower() if found is not None else None


def parse_languages(value: bytes) -> list[bytes]:
    """Return the tags of a Content-Language; entries that begin with none are skipped (RFC 3282 section 2)."""
    if b"(" in value:
        value = strip_comments(value)
    found = map(_LANGUAGE.match, value.split(b",", MAX_PARAMETERS))
    return [match.group(1) for match in found if match is not None]


def _parameters(value: bytes, position: int) -> Parameters:
    parameters: list[tuple[bytes, bytes]] = []
    continued = False
    while (position := value.find(b";", position)) >= 0 and len(parameters) < MAX_PARAMETERS:
        separators = _SEPARATORS.match(value, position)
        assert separators is not None  # it matches nothing too
        position = separators.end()
        found = _PARAMETER.match(value, position)
        if found is None:
            continue
        name, quoted, token = found.groups()
        text = token if quoted is None else _QUOTED_PAIR.sub(rb"\1", quoted) if b"\\" in quoted else quoted
        name = name.lower()
        position = found.end()
        parameters.append((name, text[:MAX_VALUE]))
        continued = continued or b"*" in name
    return _join_continuations(parameters) if continued else tuple(parameters)


def _join_continuations(parameters: list[tuple[bytes, bytes]]) -> Parameters:
    """Put ``name*0``, ``name*1*`` ... together: as ``name*`` if any piece is percent-encoded, else as ``name``."""
    pieces: dict[bytes, dict[int, tuple[bool, bytes]]] = {}
    joined: list[tuple[bytes, bytes]] = []
    for name, text in parameters:
        found = _CONTINUED(name)
        if found is None:
            joined.append((name, text))
        else:
            base, number, star = found.groups()
            pieces.setdefault(base, {}).setdefault(int(number), (bool(star), text))
    for base, numbered in pieces.items():
        run: list[tuple[bool, bytes]] = []
        while (piece := numbered.get(len(run))) is not None:
            run.append(piece)
        if not run:
            continue
        if any(encoded for encoded, _ in run):
            texts = [text if encoded else quote_from_bytes(text).encode() for encoded, text in run]
            joined.append((base + b"*", b"".join(texts)[:MAX_VALUE]))
        else:
            joined.append((base, b"".join([text for _, text in run])[:MAX_VALUE]))
    return tuple(joined)


def decode_parameter(parameters: Parameters, name: bytes) -> tuple[bytes, bytes] | None:
    """Return (charset, value octets) of a parameter, percent-encoding undone; charset ``b""`` when none was said.

    The RFC 2231 form ``name*`` goes before the plain one, as RFC 6266 section 4.3 has it for the same pair.
    """
    values = dict(reversed(parameters))  # of one that is repeated the first counts
    extended = values.get(name + b"*")
    if extended is not None:
        charset, quote, rest = extended.partition(b"'")
        if quote:
            rest = rest.partition(b"'")[2]
            return charset.lower(), unquote_to_bytes(rest)
        return b"", unquote_to_bytes(extended)
    plain = values.get(name)
    return None if plain is None else (b"", plain)


def strip_comments(value: bytes) -> bytes:
    """Replace each comment, nested ones too, by a space; quoted strings are left alone."""
    pieces: list[bytes] = []
    depth = 0
    kept_from = 0
    for edge in _COMMENT_EDGE.finditer(value):
        mark = edge.group()
        if mark == b"(":
            if depth == 0:
                pieces.append(value[kept_from : edge.start()])
            depth += 1
        elif mark == b")" and depth:
            depth -= 1
            kept_from = edge.end()
    if depth == 0:
        pieces.append(value[kept_from:])
    return b" ".join(pieces)
