"""The Authentication-Results field: built for our own checks, read, removed where a stranger claims to be us.

Fails: never; values that are no token are quoted, what cannot be read is left out.
Does not: believe anything; whose findings count is policy's.

Sources: RFC 8601 sections 2.2 (grammar), 2.3 (authserv-id) and 5 (removing forged fields).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from appliance.message.header import HeaderSection
from appliance.message.parameter import strip_comments

__all__ = [
    "MethodResult",
    "authserv_id",
    "build_authentication_results",
    "format_results",
    "merged_results",
    "parse_results",
    "without_claims_of",
]

_MAX_VALUE = 16_384
_MAX_RESULTS = 50
_MAX_PROPERTIES = 20

_UNSAFE = re.compile(r"[\x00-\x1f\x7f]+")
_is_value = re.compile(r"[^\s\x00-\x1f\"(),:;<=>\\\[\]?]+").fullmatch
_METHOD = re.compile(r"\s*+([A-Za-z0-9-]++)\s*+(?:/\s*+[0-9]++\s*+)?=\s*+([A-Za-z0-9-]++)")
_PROPERTY = re.compile(r"\s++([A-Za-z0-9.-]++)\s*+=\s*+(?:\"((?:[^\"\\]|\\.)*+)\"|([^\s;\"]++))", re.DOTALL)
_PART = re.compile(r"(?:[^;\"]|\"(?:[^\"\\]|\\.)*+(?:\"|\Z))++", re.DOTALL)
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
    return f"Authentication-Results: {format_results(authserv, results)}".encode("utf-8", "replace") + b"\r\n"


def format_results(authserv: str, results: Sequence[MethodResult]) -> str:
    """Return the field's value, which ARC-Authentication-Results has, too, behind its instance."""
    pieces = [_value(authserv)]
    for found in results:
        words = [f"{_value(found.method)}={_value(found.result)}"]
        if found.reason:
            words.append(f"reason={_quoted(found.reason)}")
        words += [f"{name}={_value(value)}" for name, value in found.properties]
        pieces.append(" ".join(words))
    if not results:
        pieces.append("none")
    return ";\r\n\t".join(pieces)


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


def parse_results(value: bytes) -> tuple[str, tuple[MethodResult, ...]]:
    """Return the authserv-id in lower case and what it found; at most the first 50 methods of 16 KiB.

    Shape:    method, result and names of properties in lower case. What is no method is left out.
    """
    text = strip_comments(value[:_MAX_VALUE]).decode("utf-8", "replace")
    parts = [found[0] for found in _PART.finditer(text)]
    results = []
    for part in parts[1 : _MAX_RESULTS + 1]:
        method = _METHOD.match(part)
        if method is None:
            continue
        properties: list[tuple[str, str]] = []
        reason = ""
        for found in _PROPERTY.finditer(part, method.end()):
            name, quoted, plain = found.groups()
            content = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL)
            if name.lower() == "reason":
                reason = content
            elif len(properties) < _MAX_PROPERTIES:
                properties.append((name.lower(), content))
        results.append(MethodResult(method[1].lower(), method[2].lower(), tuple(properties), reason))
    return authserv_id(value[:_MAX_VALUE]), tuple(results)


def merged_results(section: HeaderSection, authserv: str) -> str:
    """Return what stands behind the authserv-id in all fields of that server, as it stands, joined (RFC 8617 section 4.1.1)."""
    wanted = authserv.lower()
    pieces = []
    for value in section.get_all(b"authentication-results"):
        if authserv_id(value) == wanted:
            _id, semicolon, rest = value.partition(b";")
            pieces += [rest.strip().decode("utf-8", "replace")] if semicolon else []
    return ";\r\n\t".join(pieces) or "none"
