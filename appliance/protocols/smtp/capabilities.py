"""The EHLO reply: what is offered, as lines, and what a client reads out of them.

Sources: RFC 5321 section 4.1.1.1, RFC 1870 (SIZE), RFC 1985 (ETRN), RFC 2034
(ENHANCEDSTATUSCODES), RFC 2920 (PIPELINING), RFC 3030 (CHUNKING, BINARYMIME),
RFC 3207 (STARTTLS), RFC 3461 (DSN), RFC 4865 (FUTURERELEASE), RFC 4954 (AUTH), RFC 6152 (8BITMIME),
RFC 6531 (SMTPUTF8), RFC 8689 (REQUIRETLS), RFC 9422 (LIMITS).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from appliance.protocols.smtp.options import ServerOptions
from appliance.protocols.smtp.replies import Reply
from appliance.protocols.smtp.xclient import ATTRIBUTES

__all__ = ["Capabilities", "greeting_reply", "opening_reply", "parse_capabilities"]


@lru_cache(maxsize=64)
def opening_reply(options: ServerOptions) -> Reply:
    """Return the first words on a connection."""
    return Reply(220, "", f"{options.hostname} {options.banner}")


@lru_cache(maxsize=64)
def greeting_reply(options: ServerOptions, *, tls_active: bool, authenticated: bool) -> Reply:
    """Return the reply to EHLO or LHLO as things stand; the same for all sessions of a kind."""
    lines = [options.hostname]
    if options.pipelining:
        lines.append("PIPELINING")
    if options.size:
        lines.append(f"SIZE {options.max_message_bytes}" if options.max_message_bytes else "SIZE")
    if options.starttls and not tls_active:
        lines.append("STARTTLS")
    if options.auth_mechanisms and not authenticated and (tls_active or not options.auth_needs_tls):
        lines.append("AUTH " + " ".join(options.auth_mechanisms))
    offered = {"ENHANCEDSTATUSCODES": options.enhanced_status, "8BITMIME": options.eight_bit}
    offered |= {"DSN": options.dsn, "SMTPUTF8": options.smtputf8, "CHUNKING": options.chunking}
    offered["REQUIRETLS"] = options.requiretls and tls_active and not options.lmtp
    offered["ETRN"] = options.etrn and not options.lmtp
    offered["BINARYMIME"] = options.chunking and options.binarymime
    lines += [keyword for keyword, is_offered in offered.items() if is_offered]
    if options.future_release_s:
        lines.append(f"FUTURERELEASE {options.future_release_s} {options.future_release_until}")
    if options.limits:
        lines.append(f"LIMITS RCPTMAX={options.max_recipients}")
    if options.xclient:
        lines.append("XCLIENT " + " ".join(ATTRIBUTES))
    if options.help:
        lines.append("HELP")
    return Reply(250, "", *lines)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a server offers, read leniently. ``size``: the limit, 0 for none; ``recipients_max``: RCPTMAX, 0 for none."""

    keywords: frozenset[str] = frozenset()
    size: int = 0
    auth_mechanisms: tuple[str, ...] = ()
    recipients_max: int = 0

    def offers(self, keyword: str) -> bool:
        return keyword in self.keywords


def parse_capabilities(lines: Iterable[str]) -> Capabilities:
    """Read the lines of an EHLO reply after the first. Never fails: what is not understood is not offered."""
    keywords: set[str] = set()
    mechanisms: list[str] = []
    size = recipients_max = 0
    for line in lines:
        # "AUTH=LOGIN" was written by servers before RFC 2554, and some still add it for old clients.
        words = line.replace("AUTH=", "AUTH ", 1).split() if line[:5].upper() == "AUTH=" else line.split()
        if not words:
            continue
        keyword = words[0].upper()
        keywords.add(keyword)
        if keyword == "AUTH":
            mechanisms += [word.upper() for word in words[1:] if word.upper() not in mechanisms]
        elif keyword == "SIZE" and len(words) > 1:
            size = _number(words[1])
        elif keyword == "LIMITS":
            for word in words[1:]:
                name, _, value = word.partition("=")
                if name.upper() == "RCPTMAX":
                    recipients_max = _number(value)
    return Capabilities(frozenset(keywords), size, tuple(mechanisms), recipients_max)


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 20 else 0
