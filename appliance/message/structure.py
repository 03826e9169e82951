"""BODY and BODYSTRUCTURE: what the IMAP server says about the parts of a message.

Owns the rendering of a ``Part`` tree. A multipart without any part shows one empty
text part, since the grammar wants one (Dovecot does the same). message/global
has envelope and parts as message/rfc822 has; ``without_global`` is for clients of
RFC 3501, which cannot read those behind any other name.

Fails: never; recursion is bounded by the scanner's depth.

Sources: RFC 3501 section 7.4.2 and 9 (body), RFC 9051 section 7.5.2, RFC 2183, RFC 3282.
"""

from appliance.message.imaptext import nstring, string
from appliance.message.parameter import Parameters, parse_disposition, parse_languages
from appliance.message.part import Part

__all__ = ["render_body", "render_body_structure", "without_global"]

RFC822 = b'"message" "rfc822"'
GLOBAL = b'"message" "global"'

_EMPTY_PART = b'("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 0 0'
_NO_EXTENSION = b" NIL NIL NIL NIL"


def render_body_structure(part: Part) -> bytes:
    """Return the BODYSTRUCTURE, with extension data."""
    pieces: list[bytes] = []
    _render(part, pieces, extended=True)
    return b"".join(pieces)


def without_global(rendered: bytes) -> bytes:
    """Return a rendered structure in which messages inside are message/rfc822 all. The names are equally long: literals stay what they are."""
    return rendered.replace(GLOBAL, RFC822) if GLOBAL in rendered else rendered


def render_body(part: Part) -> bytes:
    """Return the BODY: the same without extension data."""
    pieces: list[bytes] = []
    _render(part, pieces, extended=False)
    return b"".join(pieces)


def _render(part: Part, pieces: list[bytes], *, extended: bool) -> None:
    if part.is_multipart:
        _render_multipart(part, pieces, extended=extended)
        return
    nested = part.message
    media = b"%b %b" % (string(part.type), string(part.subtype))
    if nested is not None:
        media = GLOBAL if part.subtype == b"global" else RFC822
    pieces.append(
        b"(%b %b %b %b %b %d"
        % (
            media,
            _parameters(part.parameters, default_charset=part.type == b"text"),
            nstring(part.content_id),
            nstring(part.description),
            string(part.encoding),
            part.size,
        )
    )
    if nested is not None:
        pieces.append(b" %b " % (nested.envelope or b"NIL"))
        _render(nested, pieces, extended=extended)
    if nested is not None or part.type == b"text":
        pieces.append(b" %d" % part.lines)
    if extended:
        pieces.append(b" " + nstring(part.md5) + _common_extension(part))
    pieces.append(b")")


def _render_multipart(part: Part, pieces: list[bytes], *, extended: bool) -> None:
    pieces.append(b"(")
    for child in part.children:
        _render(child, pieces, extended=extended)
    if not part.children:
        pieces.append(_EMPTY_PART + (_NO_EXTENSION if extended else b"") + b")")
    pieces.append(b" " + string(part.subtype))
    if extended:
        pieces.append(b" " + _parameters(part.parameters) + _common_extension(part))
    pieces.append(b")")


def _parameters(parameters: Parameters, *, default_charset: bool = False) -> bytes:
    if default_charset and not any(name == b"charset" for name, _ in parameters):
        parameters = (*parameters, (b"charset", b"us-ascii"))  # RFC 2046 section 4.1.2
    if not parameters:
        return b"NIL"
    return b"(" + b" ".join([string(name) + b" " + string(value) for name, value in parameters]) + b")"


def _common_extension(part: Part) -> bytes:
    if part.disposition is None and part.language is None and part.location is None:
        return b" NIL NIL NIL"
    return b" %b %b %b" % (_disposition(part.disposition), _language(part.language), nstring(part.location))


def _disposition(value: bytes | None) -> bytes:
    parsed = parse_disposition(value) if value else None
    if parsed is None:
        return b"NIL"
    return b"(%b %b)" % (string(parsed[0]), _parameters(parsed[1]))


def _language(value: bytes | None) -> bytes:
    tags = parse_languages(value) if value else []
    return b"(" + b" ".join([string(tag) for tag in tags]) + b")" if tags else b"NIL"
