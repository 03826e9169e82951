"""Domain names in the one form in which they are compared.

Owns lower case and A-labels: ``Köln.example`` and ``xn--kln-sna.example`` are one
domain. Pure; the IDNA tables are loaded with the first domain that needs them.

Sources: RFC 5321 section 2.3.5, RFC 1035 section 2.3.4 (lengths), RFC 5890
section 2.3.2.1 (A-label, U-label), RFC 5321 section 4.1.3 (address literals).
"""

import ipaddress
import re

__all__ = ["canonical_domain", "canonical_literal", "is_domain"]

_LABEL = r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_MAX_DOMAIN = 253


def canonical_domain(domain: str) -> str:
    """Return lower case with A-labels; a name that cannot be one comes back in lower case, equal to nothing valid."""
    if domain.isascii():
        return domain.lower()
    # The tables of idna cost 20 ms and 2 MiB; most servers never meet a U-label.
    import idna

    try:
        return idna.encode(domain, uts46=True, std3_rules=False).decode("ascii").lower()
    except (idna.IDNAError, UnicodeError, IndexError):
        return domain.lower()


def is_domain(domain: str) -> bool:
    """Say whether a text is a domain name that can stand in an address. Single labels are fine: ``lan``, ``localhost``."""
    canonical = canonical_domain(domain)
    return len(canonical) <= _MAX_DOMAIN and bool(_DOMAIN.fullmatch(canonical)) and not canonical.replace(".", "").isdigit()


def canonical_literal(domain: str) -> str | None:
    """Return the IP address of a literal such as ``[192.0.2.1]`` or ``[IPv6:2001:db8::1]`` in its shortest form, else None."""
    if not (domain.startswith("[") and domain.endswith("]")):
        return None
    text = domain[1:-1]
    if text[:5].lower() == "ipv6:":
        text = text[5:]
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None
