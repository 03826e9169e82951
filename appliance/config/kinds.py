"""What a text setting must look like: domains, networks, listening addresses, names.

Each check returns the sentence that says what is wrong, or ``""``. The schema
names the kind of a key; ``CHECKS`` maps it to its check. Pure.

Sources: RFC 5321 section 4.5.3.1.1 (local part of 64 octets), RFC 6154 (folders).
"""

import ipaddress
import re
from collections.abc import Callable, Mapping

from appliance.model.domain import canonical_literal, is_domain

__all__ = ["CHECKS", "account_name", "mail_address", "split_listen"]

_ACCOUNT = re.compile(r"[a-z0-9_](?:[a-z0-9._-]{0,62}[a-z0-9_-])?")
_LOCAL_PART = re.compile(r"""[^\s"(),:;<>@\[\]\\\x00-\x1f\x7f]{1,64}|"(?:[^"\\\x00-\x1f\x7f]|\\.){1,62}\"""")
_MAX_PORT = 65_535
_CAPABILITY = re.compile(r"[A-Za-z0-9][A-Za-z0-9=/+.:-]{0,63}")
_HASH = re.compile(r"\$argon2id\$v=19\$m=\d+,t=\d+,p=\d+\$[A-Za-z0-9+/]+\$[A-Za-z0-9+/]+")
_SCRAM = re.compile(r"scram-sha-256\$\d+\$[A-Za-z0-9+/=]+\$[A-Za-z0-9+/=]+\$[A-Za-z0-9+/=]+")


def account_name(text: str) -> str:
    """A user's name becomes a directory name, so it is narrower than a local part."""
    if not text:
        return "is empty; give the user a name such as ana"
    if _ACCOUNT.fullmatch(text) and ".." not in text:
        return ""
    if text != text.lower() and _ACCOUNT.fullmatch(text.lower()):
        return f"{text!r} has capitals; write {text.lower()} (mail to any spelling reaches it)"
    return f"{text!r} cannot be a user name; use small letters, digits and . _ - (at most 64), and put other addresses into addresses"


def mail_address(text: str) -> str:
    local_part, at, domain = text.rpartition("@")
    if not at:
        return f"{text!r} is not a full address such as ana@example.com"
    if not _LOCAL_PART.fullmatch(local_part):
        return f"{local_part!r} cannot stand before the @ of an address"
    return "" if is_domain(domain) or canonical_literal(domain) else f"{domain!r} is not a domain name"


def _domain(text: str) -> str:
    if is_domain(text):
        return ""
    if "@" in text and is_domain(text.rpartition("@")[2]):
        return f"{text!r} is an address; write only its domain, {text.rpartition('@')[2]}"
    return f"{text!r} is not a domain name such as example.com"


def _route(text: str) -> str:
    return _domain(text.removeprefix("."))


def _sender(text: str) -> str:
    return mail_address(text) if "@" in text else _domain(text)


def _host(text: str) -> str:
    if canonical_literal(text) or is_domain(text):
        return ""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return f"{text!r} is neither a host name nor an address literal such as [192.0.2.1]; the port has a key of its own"
    return f"write an address in square brackets: [{text}]"


def _network(text: str) -> str:
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        try:
            wider = ipaddress.ip_network(text, strict=False)
        except ValueError:
            return f"{text!r} is not a network such as 192.168.1.0/24"
        return f"{text} has bits set behind its /{wider.prefixlen}; did you mean {wider} or {text.partition('/')[0]}?"
    if network.prefixlen == 0:
        return f"{text} is the whole internet: anybody could send spam through this server"
    return ""


def _ip(text: str) -> str:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return f"{text!r} is not an IP address"
    return ""


def split_listen(text: str) -> tuple[str, int] | str:
    """Return host and port of a listening address, or the sentence that says what is wrong. ``unix:/path`` has port 0.

    An IPv6 address comes back without its brackets.
    """
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path.startswith("/"):
            return f"{text!r} needs an absolute path, as in unix:/run/carteiro/lmtp"
        return text, 0
    host, colon, port = text.rpartition(":")
    if not colon:
        wanted = f"127.0.0.1:{text}" if text.isdecimal() else f"{text}:25"
        return f"{text!r} lacks host or port; write HOST:PORT, as in {wanted}"
    if not (port.isascii() and port.isdecimal() and len(port) <= 5 and int(port) <= _MAX_PORT):
        return f"{port!r} is not a port (0 to {_MAX_PORT})"
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        return (host, int(port)) if not _ip(host) and ":" in host else f"{host!r} is not an IPv6 address"
    if ":" in host:
        return f"{text!r}: write an IPv6 address in square brackets, as in [{host}]:{port}"
    if not _ip(host) or is_domain(host):
        return host, int(port)
    if host in {"", "*"}:
        return f"{text!r} names no address; write 0.0.0.0:{port} for all of IPv4 and [::]:{port} for all of IPv6"
    return f"{host!r} is neither an IP address nor a host name"


def _listen(text: str) -> str:
    found = split_listen(text)
    return found if isinstance(found, str) else ""


def _server(text: str) -> str:
    if not _ip(text):
        return ""
    found = split_listen(text)
    if isinstance(found, tuple) and not _ip(found[0]) and found[1]:
        return ""
    return f"{text!r} is not a name server's address: write ADDRESS or ADDRESS:PORT, as in 192.0.2.53 or [2001:db8::53]:53"


def _path(text: str) -> str:
    return "has a NUL character in it" if "\0" in text else ""


def _folder(text: str) -> str:
    if text.upper() == "INBOX" or text.startswith("/") or text.endswith("/") or "//" in text:
        return f"{text!r} cannot be a folder name"
    if any(ord(character) < 32 or character in "%*\x7f" for character in text):
        return f"{text!r} has characters that folder names cannot have"
    return ""


def _capability(text: str) -> str:
    return "" if _CAPABILITY.fullmatch(text) else f"{text!r} is not an IMAP capability such as IDLE or LIST-STATUS"


def _password(text: str) -> str:
    if text.startswith("{PLAIN}"):
        return "" if text != "{PLAIN}" else "is empty after {PLAIN}"
    hashed, _, keys = text.partition(" ")
    if _HASH.fullmatch(hashed) and (not keys or _SCRAM.fullmatch(keys)):
        return ""
    # The value itself is never repeated: this text goes to logs and screens.
    return "is not a hash; set it with `carteiro user passwd NAME` (or write {PLAIN} before a word for a throw-away set-up)"


CHECKS: Mapping[str, Callable[[str], str]] = {
    "account": account_name,
    "address": mail_address,
    "domain": _domain,
    "route": _route,
    "sender": _sender,
    "host": _host,
    "network": _network,
    "ip": _ip,
    "listen": _listen,
    "server": _server,
    "path": _path,
    "folder": _folder,
    "password": _password,
    "capability": _capability,
}
