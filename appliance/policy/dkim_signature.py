"""What a DKIM-Signature or ARC-Message-Signature says, read and judged without any key.

Fails: ``SignatureError`` with what is wrong, and whether it is an error or a matter of taste of ours.
Does not: look up keys or hash anything (``policy.dkim``).

Sources: RFC 6376 section 3.5 (tags) and 6.1.1 (what makes one invalid), RFC 8301
section 3.1 (no SHA-1), RFC 8617 section 4.1.2.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from appliance.message.header import Field
from appliance.policy.dkim_canon import Canon
from appliance.policy.dkim_tags import TagListError, parse_tags, without_space

__all__ = [
    "Signature",
    "SignatureError",
    "decode_base64",
    "domain_of",
    "field_tags",
    "is_same_or_below",
    "kind_of",
    "number_of",
    "parse_signature",
]

_KINDS: Final = {"rsa-sha256": "rsa", "ed25519-sha256": "ed25519"}
_FORBIDDEN: Final = frozenset({"rsa-sha1"})
_SKEW_S: Final = 3_600
_MAX_DOMAIN: Final = 253


class SignatureError(ValueError):
    """The signature cannot be taken. ``is_policy``: it is well-formed, and we do not want it."""

    def __init__(self, reason: str, *, is_policy: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.is_policy = is_policy


@dataclass(frozen=True, slots=True)
class Signature:
    """``names``: of ``h=`` in lower case; ``limit``: of ``l=``; times in seconds since the epoch; ``tags``: all of them as they stand."""

    field: Field
    tags: Mapping[str, str]
    kind: str
    domain: str
    selector: str
    signature: bytes
    body_hash: bytes
    header_canon: Canon
    body_canon: Canon
    names: tuple[bytes, ...]
    limit: int | None
    expires_at_s: int | None


def field_tags(field: Field) -> dict[str, str]:
    """Return the tags of a field. Raises SignatureError."""
    try:
        return parse_tags(field.raw.partition(b":")[2])
    except TagListError as error:
        raise SignatureError(f"it cannot be read: {error}") from error


def domain_of(text: str) -> str:
    """Return a domain of ``d=`` or ``s=`` in lower case. Raises SignatureError for what cannot be one."""
    name = text.lower().removesuffix(".")
    labels = name.split(".")
    if not name or len(name) > _MAX_DOMAIN or any(not 0 < len(label) <= 63 for label in labels) or any(c.isspace() for c in name):
        raise SignatureError(f"{text[:80]!r} is no domain")
    return name


def decode_base64(text: str, tag: str) -> bytes:
    """Return the octets of ``b=`` or ``bh=``. Raises SignatureError."""
    try:
        found = base64.b64decode(without_space(text), validate=True)
    except (binascii.Error, ValueError) as error:
        raise SignatureError(f"{tag}= is not base64") from error
    if not found:
        raise SignatureError(f"{tag}= is empty")
    return found


def is_same_or_below(name: str, domain: str) -> bool:
    """Tell whether a lower case name is the domain or one of its subdomains."""
    return name == domain or name.endswith("." + domain)


def number_of(tags: Mapping[str, str], tag: str) -> int | None:
    """Return the number of a tag, None when it is not there. Raises SignatureError."""
    text = tags.get(tag)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 76):
        raise SignatureError(f"{tag}= is no number")
    return int(text)


def kind_of(tags: Mapping[str, str]) -> str:
    """Return the kind of key that an algorithm needs. Raises SignatureError."""
    algorithm = tags["a"]
    if algorithm in _FORBIDDEN:
        raise SignatureError("it is made with SHA-1, which no longer proves anything", is_policy=True)
    if algorithm not in _KINDS:
        raise SignatureError(f"its algorithm {algorithm[:40]} is unknown")
    return _KINDS[algorithm]


def _canons(text: str) -> tuple[Canon, Canon]:
    header, _slash, body = text.partition("/")
    try:
        return Canon(header), Canon(body or "simple")
    except ValueError as error:
        raise SignatureError(f"c={text[:40]} is unknown") from error


def parse_signature(
    field: Field, tags: Mapping[str, str], now_s: float, *, needs_from: bool = True, default_canon: str = "simple/simple"
) -> Signature:
    """Return what a signature says, its times judged. ARC needs no field and has another ``default_canon``. Raises SignatureError."""
    missing = [tag for tag in ("a", "b", "bh", "d", "h", "s") if tag not in tags]
    if missing:
        raise SignatureError(f"{missing[0]}= is missing")
    header_canon, body_canon = _canons(tags.get("c", default_canon))
    names = tuple(name.strip(" \t\r\n").lower().encode() for name in tags["h"].split(":"))
    if needs_from and b"from" not in names:
        raise SignatureError("From is not signed")
    if "q" in tags and "dns/txt" not in [method.strip() for method in tags["q"].split(":")]:
        raise SignatureError(f"q={tags['q'][:40]} is unknown")
    signed_at_s, expires_at_s = number_of(tags, "t"), number_of(tags, "x")
    if signed_at_s is not None and expires_at_s is not None and expires_at_s <= signed_at_s:
        raise SignatureError("it ends before it begins")
    if signed_at_s is not None and signed_at_s > now_s + _SKEW_S:
        raise SignatureError("it was made in the future")
    return Signature(
        field=field,
        tags=tags,
        kind=kind_of(tags),
        domain=domain_of(tags["d"]),
        selector=domain_of(tags["s"]),
        signature=decode_base64(tags["b"], "b"),
        body_hash=decode_base64(tags["bh"], "bh"),
        header_canon=header_canon,
        body_canon=body_canon,
        names=names,
        limit=number_of(tags, "l"),
        expires_at_s=expires_at_s,
    )
