"""The Authentication-Results field: built for our own checks, removed where a stranger claims to be us.

Fails: never; values that are no token are quoted.
Does not: parse what other servers found; only whose field it is.

Sources: RFC 8601 sections 2.2 and 5 (removing forged fields).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from appliance.message.header import HeaderSection
from appliance.message.parameter import strip_comments

__all__ = ["MethodResult", "authserv_id", "build_authentication_results", "without_claims_of"]

_UNSAFE = re.compile(r"[\x00-\x1f\x7f]+")
_is_value = re.compile(r"[^\s\x00-\x1f\"(),:;<=>\\\[\]?]+").fullmatch
_AUTHSERV_ID = re.compile(rb"\s*(?:\"([^\"]*)\"|([^\s;]+))")


@dataclass(frozen=True, slots=True)
class MethodResult:
    """One method: ``spf``, ``pass``, properties such as ``("smtp.mailfrom", "a@b.example")``, a reason or ``""``."""

    method: str
    result: str
    properties: tuple[tuple[str, str], ...] = ()
    reason: str = ""


def build_authentication_results(authserv: str, results: Sequence[MethodResult]) -> bytes:
    """Return the field with its line end, one method per line; no results say ``none``."""
    pieces = [f"Authentication-Results: {_value(authserv)}"]
    for found in results:
        words = [f"{_value(found.method)}={_value(found.result)}"]
        if found.reason:
            words.append(f"reason={_quoted(found.reason)}")
        words += [f"{name}={_value(value)}" for name, value in found.properties]
        pieces.append(" ".join(words))
    if not results:
        pieces.append("none")
    return ";\r\n\t".join(pieces).encode("utf-8", "replace") + b"\r\n"


def _value(text: str) -> str:
    text = _UNSAFE.sub(" ", text).strip()[:255]
    return text if _is_value(text) else _quoted(text)


def _quoted(text: str) -> str:
    text = _UNSAFE.sub(" ", text).strip()[:255]
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def authserv_id(value: bytes) -> str:
    """Return whose results these are, in lower case; ``""`` when that cannot be read."""
    found = _AUTHSERV_ID.match(strip_comments(value))
    if found is None:
        return ""
    return (found.group(1) or found.group(2) or b"").decode("utf-8", "replace").lower()


def without_claims_of(section: HeaderSection, authserv: str) -> HeaderSection:
    """Leave out the fields that say they are ours; only we may say that (RFC 8601 section 5)."""
    wanted = authserv.lower()
    kept = [field for field in section.fields if field.name.lower() != b"authentication-results" or authserv_id(field.value) != wanted]
    return section.replacing(kept)
