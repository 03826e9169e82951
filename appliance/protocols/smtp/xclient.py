"""XCLIENT: a mail proxy or content filter tells on whose behalf it talks. Postfix's command, not in any RFC.

Owns the attributes' grammar. Who may say it is the session's business; a core offers it where
``ServerOptions.xclient`` says so.

Fails: ``parse_xclient`` raises GrammarError with the reply.
Does not: take an ADDR that is unavailable: each check of ours needs an address, and the proxy's own would be trusted.

Sources: Postfix XCLIENT_README, RFC 3461 section 4 (xtext).
"""

import re
from typing import Final

from appliance.model.hosts import plain_address
from appliance.protocols.smtp.events import XclientRequested
from appliance.protocols.smtp.grammar import GrammarError, decode_xtext
from appliance.protocols.smtp.replies import Reply

__all__ = ["ATTRIBUTES", "parse_xclient"]

ATTRIBUTES: Final = ("NAME", "ADDR", "PORT", "PROTO", "HELO", "LOGIN")
MAX_VALUE: Final = 255
MAX_ATTRIBUTES: Final = 10

_IGNORED: Final = frozenset({"NAME", "REVERSE_NAME", "DESTADDR", "DESTPORT"})
"""Taken and forgotten: names are looked up here where a check needs them."""
_UNKNOWN: Final = frozenset({"[UNAVAILABLE]", "[TEMPUNAVAIL]"})
_ATTRIBUTE = re.compile(r"([A-Za-z_]{1,20})=(\S+)")
_PORT = re.compile(r"[0-9]{1,5}")
_MAX_PORT: Final = 65_535
_BAD = Reply(501, "5.5.4", "Write XCLIENT NAME=value, values as xtext; ADDR must be an IP address")


def parse_xclient(argument: str) -> XclientRequested:
    """Parse what follows XCLIENT. Raises GrammarError."""
    words = argument.split()
    if not words or len(words) > MAX_ATTRIBUTES:
        raise GrammarError(_BAD)
    told: dict[str, str] = {}
    for word in words:
        match = _ATTRIBUTE.fullmatch(word)
        if match is None or (name := match[1].upper()) in told or len(match[2]) > MAX_VALUE or name not in _IGNORED | {*ATTRIBUTES}:
            raise GrammarError(_BAD)
        told[name] = "" if match[2].upper() in _UNKNOWN else decode_xtext(match[2])
    protocol = told.get("PROTO", "").upper()
    if protocol not in {"", "SMTP", "ESMTP"}:
        raise GrammarError(_BAD)
    return XclientRequested(
        address=_address(told["ADDR"]) if "ADDR" in told else None,
        port=_port(told["PORT"]) if told.get("PORT") else 0,
        helo=told.get("HELO", ""),
        protocol=protocol,
        login=told.get("LOGIN", ""),
    )


def _address(text: str) -> str:
    try:
        return str(plain_address(text[5:] if text[:5].upper() == "IPV6:" else text))
    except ValueError:
        raise GrammarError(_BAD) from None


def _port(text: str) -> int:
    if not _PORT.fullmatch(text) or int(text) > _MAX_PORT:
        raise GrammarError(_BAD)
    return int(text)
