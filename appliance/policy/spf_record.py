"""SPF records: the grammar, read once and whole.

Owns what is a syntax error anywhere in a record, which RFC 7208 wants found before
anything is evaluated.

Fails: ``SpfSyntaxError``, whose argument names the term.
Does not: expand macros (``policy.spf_macro``) or look anything up (``policy.spf``).

Sources: RFC 7208 sections 4.5, 4.6, 5, 6 and 12 (collected ABNF).
"""

import ipaddress
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from appliance.policy.spf_macro import check_domain_spec, check_macro_string

__all__ = ["Mechanism", "SpfRecord", "SpfSyntaxError", "is_spf_record", "parse_spf"]

MAX_RECORD: Final = 16_384
MAX_TERMS: Final = 500
"""More than anybody writes; the ten lookups end an evaluation long before."""
MAX_CACHED: Final = 512
"""Records kept read: most mail comes from few domains."""
_TERM = re.compile(r"([+?~-]?)([A-Za-z][A-Za-z0-9_.-]*)(.*)", re.DOTALL)
_CIDR = re.compile(r"(?:/(0|[1-9][0-9]?))?(?://(0|[1-9][0-9]{0,2}))?\Z")
_NAMES: Final = frozenset({"all", "include", "a", "mx", "ptr", "ip4", "ip6", "exists"})


class SpfSyntaxError(ValueError):
    """The record is no SPF record as it should be."""


@dataclass(frozen=True, slots=True)
class Mechanism:
    """One directive. ``domain``: a domain-spec, ``""`` where none was given; ``network`` of ip4 and ip6."""

    qualifier: str
    name: str
    domain: str = ""
    network: ipaddress.IPv4Network | ipaddress.IPv6Network | None = None
    prefix4: int = 32
    prefix6: int = 128
    text: str = ""


@dataclass(frozen=True, slots=True)
class SpfRecord:
    """``redirect`` and ``exp`` are domain-specs, ``""`` where there is none."""

    mechanisms: tuple[Mechanism, ...]
    redirect: str = ""
    exp: str = ""


def is_spf_record(text: str) -> bool:
    """Tell a TXT record that is for SPF, good or bad (RFC 7208 section 4.5)."""
    return text[:6].lower() == "v=spf1" and text[6:7] in {"", " "}


@lru_cache(maxsize=MAX_CACHED)
def parse_spf(text: str) -> SpfRecord:
    """Return the record. Raises SpfSyntaxError."""
    if not text.isascii() or len(text) > MAX_RECORD:
        raise SpfSyntaxError("the record is too long or not ASCII")
    terms = [term for term in text[6:].split(" ") if term]
    if len(terms) > MAX_TERMS:
        raise SpfSyntaxError("the record has too many terms")
    mechanisms: list[Mechanism] = []
    modifiers: dict[str, str] = {}
    for term in terms:
        found = _TERM.fullmatch(term)
        if found is None:
            raise SpfSyntaxError(f"{term[:80]} is no term")
        qualifier, name, rest = found.groups()
        if rest.startswith("="):
            if qualifier:
                raise SpfSyntaxError(f"{term[:80]}: a modifier has no qualifier")
            _take_modifier(modifiers, name.lower(), rest[1:])
        else:
            mechanisms.append(_mechanism(qualifier or "+", name.lower(), rest, term))
    return SpfRecord(tuple(mechanisms), modifiers.get("redirect", ""), modifiers.get("exp", ""))


def _take_modifier(modifiers: dict[str, str], name: str, value: str) -> None:
    """Take redirect and exp once each; others are looked at and forgotten (RFC 7208 section 6)."""
    if name not in {"redirect", "exp"}:
        if not check_macro_string(value):
            raise SpfSyntaxError(f"{name}={value[:80]}: its macros cannot be read")
        return
    if name in modifiers:
        raise SpfSyntaxError(f"{name}= stands twice")
    if not check_domain_spec(value):
        raise SpfSyntaxError(f"{name}={value[:80]} names no domain")
    modifiers[name] = value


def _mechanism(qualifier: str, name: str, rest: str, term: str) -> Mechanism:
    if name not in _NAMES:
        raise SpfSyntaxError(f"{term[:80]}: there is no such mechanism")
    if name == "all":
        if rest:
            raise SpfSyntaxError(f"{term[:80]}: all stands alone")
        return Mechanism(qualifier, name, text=term)
    if name in {"ip4", "ip6"}:
        return Mechanism(qualifier, name, network=_network(name, rest, term), text=term)
    prefix4, prefix6 = 32, 128
    if name in {"a", "mx"}:
        rest, prefix4, prefix6 = _split_cidr(rest, term)
    domain = rest[1:]
    if rest and not (rest[0] == ":" and check_domain_spec(domain)):
        raise SpfSyntaxError(f"{term[:80]} names no domain")
    if not rest and name in {"include", "exists"}:
        raise SpfSyntaxError(f"{term[:80]} needs a domain")
    return Mechanism(qualifier, name, domain, prefix4=prefix4, prefix6=prefix6, text=term)


def _split_cidr(rest: str, term: str) -> tuple[str, int, int]:
    """Take the prefix lengths off the end; what looks like one and is none stays, and then is no domain."""
    tail = rest[_tail_start(rest) :]
    slash = tail.find("/")
    if slash < 0:
        return rest, 32, 128
    found = _CIDR.match(tail, slash)
    if found is None:
        return rest, 32, 128
    prefix4, prefix6 = int(found[1] or 32), int(found[2] or 128)
    if prefix4 > 32 or prefix6 > 128:
        raise SpfSyntaxError(f"{term[:80]}: no address has a prefix that long")
    return rest[: len(rest) - len(tail) + slash], prefix4, prefix6


def _tail_start(text: str) -> int:
    """Return where the slashes and digits at the end begin."""
    return len(text.rstrip("/0123456789"))


def _network(name: str, rest: str, term: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    address, slash, prefix = rest[1:].partition("/")
    most = 32 if name == "ip4" else 128
    if slash and (not (prefix.isascii() and prefix.isdigit()) or int(prefix[:4]) > most or (prefix[0] == "0" and prefix != "0")):
        raise SpfSyntaxError(f"{term[:80]}: no address has that prefix")
    if not rest.startswith(":") or "%" in address:
        raise SpfSyntaxError(f"{term[:80]} names no address")
    try:
        if name == "ip4":
            return ipaddress.IPv4Network((ipaddress.IPv4Address(address), int(prefix) if slash else most), strict=False)
        return ipaddress.IPv6Network((ipaddress.IPv6Address(address), int(prefix) if slash else most), strict=False)
    except ValueError as error:
        raise SpfSyntaxError(f"{term[:80]} names no address") from error
