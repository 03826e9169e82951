"""DMARC policy records: what a domain asks for.

Owns what each tag comes to when it is missing or wrong. Records written for RFC 7489 are
understood: ``pct=0`` is the testing mode of today, other percentages are no longer anybody's wish.

Fails: never; ``None`` for a text that is no DMARC record.
Does not: look for records (``policy.dmarc``).

Sources: RFC 9989 sections 4.7 (tags) and 4.10.1 (invalid policies), RFC 7489 section 6.3.
"""

import enum
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

__all__ = ["DmarcPolicy", "DmarcRecord", "parse_dmarc"]

MAX_RECORD: Final = 4_096
MAX_URIS: Final = 10
MAX_CACHED: Final = 512
_VERSION = re.compile(r"[ \t]*v[ \t]*=[ \t]*DMARC1[ \t]*(?:;|\Z)")
_is_mailto = re.compile(r"mailto:[^\s@,!]+@[^\s@,!]+", re.IGNORECASE).fullmatch


class DmarcPolicy(enum.IntEnum):
    """What is to become of mail that fails, the mildest first."""

    NONE = 0
    QUARANTINE = 1
    REJECT = 2

    @property
    def word(self) -> str:
        return self.name.lower()


_POLICIES: Final = {policy.word: policy for policy in DmarcPolicy}


@dataclass(frozen=True, slots=True)
class DmarcRecord:
    """``psd``: y, n or u; ``reports_to``: mail addresses of ``rua=``; ``is_usable`` False: its policy is wrong, and nobody is told."""

    policy: DmarcPolicy = DmarcPolicy.NONE
    subdomain_policy: DmarcPolicy | None = None
    missing_policy: DmarcPolicy | None = None
    strict_dkim: bool = False
    strict_spf: bool = False
    psd: str = "u"
    is_testing: bool = False
    reports_to: tuple[str, ...] = ()
    is_usable: bool = True
    text: str = ""


def _tags(text: str) -> dict[str, str]:
    """Return the tags in lower case; what is none is left out, of two of one name the first counts."""
    tags: dict[str, str] = {}
    for piece in text.split(";"):
        name, equals, value = piece.partition("=")
        if equals:
            tags.setdefault(name.strip().lower(), value.strip())
    return tags


def _addresses(text: str) -> tuple[str, ...]:
    found = []
    for uri in text.split(",")[:MAX_URIS]:
        plain = uri.strip().partition("!")[0]  # a size limit of RFC 7489
        if _is_mailto(plain):
            found.append(plain[7:])
    return tuple(found)


@lru_cache(maxsize=MAX_CACHED)
def parse_dmarc(text: str) -> DmarcRecord | None:
    """Return what a TXT record asks for; None when it is none of DMARC."""
    text = text[:MAX_RECORD]
    if _VERSION.match(text) is None:
        return None
    tags = _tags(text)
    reports_to = _addresses(tags.get("rua", ""))
    wishes = {name: _POLICIES.get(tags[name].lower()) for name in ("p", "sp", "np") if name in tags}
    is_wrong = None in wishes.values()
    psd = tags.get("psd", "u").lower()
    return DmarcRecord(
        policy=DmarcPolicy.NONE if is_wrong else wishes.get("p") or DmarcPolicy.NONE,
        subdomain_policy=None if is_wrong else wishes.get("sp"),
        missing_policy=None if is_wrong else wishes.get("np"),
        strict_dkim=tags.get("adkim", "r").lower() == "s",
        strict_spf=tags.get("aspf", "r").lower() == "s",
        psd=psd if psd in {"y", "n"} else "u",
        is_testing=tags.get("t", "n").lower() == "y" or tags.get("pct") == "0",
        reports_to=reports_to,
        is_usable=not is_wrong or bool(reports_to),
        text=text,
    )
