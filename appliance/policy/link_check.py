"""The links of a message and what can be said of them without asking anybody.

Owns the refusal: nothing is fetched and no name is looked up. Addresses of private
networks are told as blocked (451), names that no public DNS has as not found, the
rest as not checked.

Sources: RFC 6761 and RFC 6762 (special-use names), RFC 6890 (special-purpose addresses), RFC 3986 appendix C.
"""

import ipaddress
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from appliance.message.html import elements

__all__ = ["Link", "check_links", "find_links"]

MAX_LINKS: Final = 500
_URL = re.compile(r"\bhttps?://[\w\-@:%+'!.~#?,&/=;]+", re.IGNORECASE)
_BRACKETED = re.compile(r"<(https?://[^>]{1,2000})>", re.IGNORECASE)
_ATTRIBUTES = {"a": "href", "link": "href", "img": "src"}
_NOWHERE = ("test", "invalid", "example", "local", "localhost", "internal", "lan", "home.arpa", "onion")


@dataclass(frozen=True, slots=True)
class Link:
    """``code`` as HTTP has it, 0 for no answer."""

    url: str
    code: int
    status: str


def find_links(html: str, text: str) -> list[str]:
    """Return the web addresses of a message, each once, those of links first, then pictures, then of the text."""
    found, _ = elements(html) if html else ([], "")
    ordered: list[str] = []
    for wanted in ("a", "link", "img"):
        for tag, attributes in found:
            url = attributes.get(_ATTRIBUTES[wanted], "").strip() if tag == wanted else ""
            is_sheet = tag != "link" or "stylesheet" in attributes.get("rel", "").lower()
            if is_sheet and _URL.match(url):
                ordered.append(url)
    ordered += [_trimmed(url[0]) for url in _URL.finditer(text)]
    ordered += ["".join(url[1].split()) for url in _BRACKETED.finditer(text)]
    return list(dict.fromkeys(ordered))[:MAX_LINKS]


def _trimmed(url: str) -> str:
    """Leave out the sentence's own marks at the end."""
    return url.rstrip(".,;:!?'")


def check_links(html: str, text: str) -> list[Link]:
    """Return what is known of each link."""
    return [Link(url, *_judged(url)) for url in find_links(html, text)]


def _judged(url: str) -> tuple[int, str]:
    try:
        host = (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        return 0, "invalid address"
    if not host:
        return 0, "invalid address"
    if is_private_address(host):
        return 451, "Blocked private/reserved address"
    if host == "localhost" or host.endswith(".localhost"):
        return 451, "Blocked private/reserved address"
    if "." not in host or host.endswith(tuple(f".{end}" for end in _NOWHERE)):
        return 0, "no such host"
    return 0, "not checked: nothing is fetched"


def is_private_address(host: str) -> bool:
    """Return True for an address that is not of the public internet, in any of the forms that programs take."""
    text = host.strip("[]").partition("%")[0]
    try:
        address: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.ip_address(text)
    except ValueError:
        # 127.1, 0x7f000001, 2130706433: what resolvers take for an address is none of a name.
        return re.fullmatch(r"(?:0x[0-9a-f]*|[0-9]+)(?:\.(?:0x[0-9a-f]*|[0-9]+)){0,3}", text, re.IGNORECASE) is not None
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if address in ipaddress.ip_network("64:ff9b::/96") or address in ipaddress.ip_network("64:ff9b:1::/48"):
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return not inner.is_global
    return not address.is_global or address.is_multicast
