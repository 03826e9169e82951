"""The grammar of command arguments: paths, parameters, xtext; each with its inverse.

Works on ``str``: a command line is decoded once, as UTF-8. Regular expressions
have no nested repetition, so their time is linear in the line.

Fails: every ``parse_*`` raises GrammarError with the reply to send.
Deviations, all towards leniency, each met in the wild:
  * a space after ``MAIL FROM:`` and ``RCPT TO:`` (old Outlook, many scripts);
  * dots anywhere in an unquoted local part (``a..b@``, Japanese carriers' addresses);
  * underscores in domains (host names of Windows machines);
  * local parts up to 128 octets where RFC 5321 section 4.5.3.1.1 says 64 (VERP, SRS, BATV lengthen them);
  * lower-case hexadecimal digits in xtext.
Does not: look into what a domain means, or fold case.

Sources: RFC 5321 section 4.1.2 and 4.1.3, RFC 6531 section 3.3 (UTF-8 in paths),
RFC 3461 section 4 (xtext, NOTIFY, ORCPT, RET, ENVID), RFC 1870 section 6 (SIZE),
RFC 6152 and RFC 3030 (BODY), RFC 4954 section 5 (AUTH=), RFC 6533 section 3 (utf-8 address type).
"""

import ipaddress
import re
from collections.abc import Mapping

from appliance.protocols.smtp.replies import Reply

__all__ = [
    "GrammarError",
    "decode_xtext",
    "encode_xtext",
    "format_path",
    "needs_smtputf8",
    "parse_parameters",
    "parse_path",
    "quote_local_part",
    "unquote_local_part",
]

MAX_LOCAL_PART = 128
MAX_DOMAIN = 255  # RFC 5321 section 4.5.3.1.2
MAX_PARAMETERS = 20

# Sets that hold all of Unicode above ASCII are written by what of ASCII they do not hold: so they compile in microseconds,
# a range up to U+10FFFF takes milliseconds each.
_DOT_STRING = re.compile(r'[^\x00-\x20"(),:;<>@\[\\\]\x7f]+')
_QUOTED = re.compile(r'"(?:[^\x00-\x1f"\\\x7f]|\\[ -~])*"')
_QUOTED_PAIR = re.compile(r"\\(.)")
_LETTER_OR_DIGIT = r"[^\x00-/:-@\[-\^`{-\x7f]"  # and the underscore
_DOMAIN = re.compile(rf"{_LETTER_OR_DIGIT}(?:[^\x00-,./:-@\[-\^`{{-\x7f]*{_LETTER_OR_DIGIT})?")
_LITERAL = re.compile(r"\[([!-Z^-~]+)\]")
_ROUTE_HOST = r"@[^\x00-,/;-@\\\^`{-\x7f]+"
_SOURCE_ROUTE = re.compile(rf"{_ROUTE_HOST}(?:,{_ROUTE_HOST})*:")
# The path of nearly every command, in one match; anything else takes the long way.
_PLAIN_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_\-]*[A-Za-z0-9_])?"
_PLAIN_PATH = re.compile(rf" ?<([A-Za-z0-9!#$%&'*+/=?^_`{{|}}~.\-]{{1,{MAX_LOCAL_PART}}}@{_PLAIN_LABEL}(?:\.{_PLAIN_LABEL})*)>(?= |$)")
_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9\-]*)(?:=([^\x00-\x20=\x7f]+))?")
_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-Fa-f]{2})*")
_HEXCHAR = re.compile(r"((?:\+[0-9A-Fa-f]{2})+)")
_NOT_XCHAR = re.compile(r"[^!-*,-<>-~]")

_BAD_PATH = Reply(501, "5.1.3", "That is not an address; write <name@example.org>")
_BAD_SENDER = Reply(501, "5.1.7", "That is not an address; write <name@example.org>")
_NO_BRACKETS = Reply(501, "5.5.2", "Put the address in angle brackets: <name@example.org>")
_NO_DOMAIN = Reply(553, "5.1.3", "The address has no domain; write <name@example.org>")
_TOO_LONG = Reply(553, "5.1.3", "The address is too long")
_BAD_PARAMETER = Reply(501, "5.5.4", "Parameters must look like NAME or NAME=value, each once")
_TOO_MANY = Reply(501, "5.5.4", "Too many parameters")


class GrammarError(Exception):
    """What was to be parsed is malformed; ``reply`` says so to the peer."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply


# Paths, RFC 5321 section 4.1.2


def parse_path(text: str, start: int = 0, *, is_reverse: bool = False, unqualified: bool = False) -> tuple[str, int]:
    """Parse a path in angle brackets at ``start``; return it without them, canonical, and where it ended.

    Canonical: source route dropped (RFC 5321 section 4.1.2 and appendix C), local part quoted only where it must
    be, ``""`` for ``<>``, which only a reverse-path may be.
    Raises:   GrammarError.
    """
    plain = _PLAIN_PATH.match(text, start)
    if plain and len(plain[1]) <= MAX_DOMAIN:
        return plain[1], plain.end()
    bad = _BAD_SENDER if is_reverse else _BAD_PATH
    position = start
    while text[position : position + 1] == " ":
        position += 1
    if text[position : position + 1] != "<":
        raise GrammarError(_NO_BRACKETS if text[position:] else bad)
    position += 1
    if text[position : position + 1] == ">":
        if not is_reverse:
            raise GrammarError(bad)
        return "", _path_end(text, position, bad)
    route = _SOURCE_ROUTE.match(text, position)
    if route:
        position = route.end()
    local, position = _take_local_part(text, position, bad)
    if text[position : position + 1] == "@":
        domain, position = _take_domain(text, position + 1, bad)
        path = f"{local}@{domain}"
    elif unqualified or (not is_reverse and local.lower() == "postmaster"):
        path = local  # RFC 5321 section 4.1.1.3: <postmaster> alone must be taken
    else:
        raise GrammarError(_NO_DOMAIN if text[position : position + 1] == ">" else bad)
    return path, _path_end(text, position, bad)


def _path_end(text: str, position: int, bad: Reply) -> int:
    if text[position : position + 1] != ">" or text[position + 1 : position + 2] not in {"", " "}:
        raise GrammarError(bad)
    return position + 1


def _take_local_part(text: str, position: int, bad: Reply) -> tuple[str, int]:
    match = _DOT_STRING.match(text, position)
    if match:
        local = match[0]
    else:
        match = _QUOTED.match(text, position)
        if not match:
            raise GrammarError(bad)
        local = quote_local_part(unquote_local_part(match[0]))
    if len(local) > MAX_LOCAL_PART or len(local.encode()) > MAX_LOCAL_PART:
        raise GrammarError(_TOO_LONG)
    return local, match.end()


def _take_domain(text: str, position: int, bad: Reply) -> tuple[str, int]:
    literal = _LITERAL.match(text, position)
    if literal:
        if not _is_address_literal(literal[1]):
            raise GrammarError(bad)
        return literal[0], literal.end()
    end = text.find(">", position)
    domain = text[position:end] if end >= 0 else ""
    if len(domain.encode()) > MAX_DOMAIN:
        raise GrammarError(_TOO_LONG)
    if not domain or not all(_DOMAIN.fullmatch(label) for label in domain.split(".")):
        raise GrammarError(bad)
    return domain, end


def _is_address_literal(text: str) -> bool:
    """RFC 5321 section 4.1.3; General-address-literal is of no use to anybody, its one registered tag is IPv6."""
    try:
        if text[:5].lower() == "ipv6:":
            ipaddress.IPv6Address(text[5:])
        else:
            ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return "%" not in text


def unquote_local_part(local: str) -> str:
    r"""Return what a local part means: ``"a\ b"`` is ``a b``; an unquoted one is itself."""
    if local[:1] != '"':
        return local
    return _QUOTED_PAIR.sub(r"\1", local[1:-1])


def quote_local_part(meaning: str) -> str:
    """Return the shortest wire form; the inverse of ``unquote_local_part``."""
    if _DOT_STRING.fullmatch(meaning):
        return meaning
    escaped = meaning.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def format_path(path: str) -> str:
    """Return the wire form of a path that ``parse_path`` gave."""
    return f"<{path}>"


def needs_smtputf8(path: str) -> bool:
    """True when the path cannot travel without SMTPUTF8 (RFC 6531 section 3.2)."""
    return not path.isascii()


# Parameters, RFC 5321 section 4.1.2 esmtp-param


def parse_parameters(text: str, start: int) -> Mapping[str, str | None]:
    """Parse ``NAME=value`` pairs from ``start`` to the end; names in upper case, None for a name without a value.

    Raises:   GrammarError, also for a name given twice.
    """
    words = text[start:].split(" ")
    parameters: dict[str, str | None] = {}
    for word in words:
        if not word:
            continue
        match = _PARAMETER.fullmatch(word)
        if not match or (name := match[1].upper()) in parameters:
            raise GrammarError(_BAD_PARAMETER)
        parameters[name] = match[2]
        if len(parameters) > MAX_PARAMETERS:
            raise GrammarError(_TOO_MANY)
    return parameters


# xtext, RFC 3461 section 4


def decode_xtext(text: str) -> str:
    """Return the characters that xtext stands for, UTF-8 decoded where they are more than ASCII (RFC 6533 section 3).

    Raises:   GrammarError; control characters too, which no parameter of ours may hold.
    """
    if "+" not in text:
        if not _XTEXT.fullmatch(text):
            raise GrammarError(_BAD_PARAMETER)
        return text
    if not _XTEXT.fullmatch(text):
        raise GrammarError(_BAD_PARAMETER)
    try:
        decoded = _HEXCHAR.sub(lambda run: bytes.fromhex(run[1].replace("+", "")).decode(), text)
    except UnicodeDecodeError:
        raise GrammarError(_BAD_PARAMETER) from None
    if not decoded.isprintable():
        raise GrammarError(_BAD_PARAMETER)
    return decoded


def encode_xtext(text: str) -> str:
    """Return ``text`` as xtext, always ASCII; the inverse of ``decode_xtext``."""
    return _NOT_XCHAR.sub(lambda character: "".join(f"+{octet:02X}" for octet in character[0].encode()), text)
