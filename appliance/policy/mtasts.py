"""MTA-STS: what a domain says about TLS to its mail servers, read from DNS and from its policy file.

Owns the two grammars and which host names a policy covers. Unknown fields are
left aside; of a field given twice the first counts, ``mx`` apart.

Fails: ``parse_policy`` raises ``StsSyntaxError`` with a reason; a TXT record that is none of ours is no record.
Does not: fetch anything, or know when a policy has expired.

Sources: RFC 8461 sections 3.1 (TXT record), 3.2 (policy), 4.1 (host names).
"""

import enum
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["MAX_POLICY_BYTES", "StsMode", "StsPolicy", "StsSyntaxError", "parse_policy", "parse_record", "render_policy"]

MAX_POLICY_BYTES: Final = 65_536
"""RFC 8461 section 3.3 asks for a bound and suggests 64 kilobytes."""
MAX_AGE_S: Final = 31_557_600
MAX_PATTERNS: Final = 200

_ID = re.compile(r"[A-Za-z0-9]{1,32}")
_PATTERN = re.compile(r"(?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\.?")


class StsMode(enum.Enum):
    """RFC 8461 section 5: what a failure means. ``TESTING`` only tells."""

    ENFORCE = "enforce"
    TESTING = "testing"
    NONE = "none"


class StsSyntaxError(Exception):
    """The policy file says nothing that can be followed; the text says why."""


@dataclass(frozen=True, slots=True)
class StsPolicy:
    """``patterns``: host names in lower case, ``*.`` before one stands for exactly one label."""

    mode: StsMode
    patterns: tuple[str, ...]
    max_age_s: int

    def covers(self, host: str) -> bool:
        """Tell whether a host may take the domain's mail. Source: RFC 8461 section 4.1."""
        name = host.lower().rstrip(".")
        parent = name.partition(".")[2]
        return any(parent == pattern[2:] if pattern.startswith("*.") else name == pattern for pattern in self.patterns)


def parse_record(texts: Sequence[str]) -> str | None:
    """Return the policy's id from the TXT records of ``_mta-sts``; None when there is no policy, or more than one (section 3.1)."""
    ours = [text for text in texts if re.match(r"v=STSv1[ \t]*;", text)]
    if len(ours) != 1:
        return None
    for pair in ours[0].split(";")[1:]:
        name, equals, value = pair.strip(" \t").partition("=")
        if name == "id" and equals:
            return value if _ID.fullmatch(value) else None
    return None


def parse_policy(data: bytes) -> StsPolicy:
    """Read a policy file. Raises StsSyntaxError."""
    if len(data) > MAX_POLICY_BYTES:
        raise StsSyntaxError("the policy is larger than 64 KiB")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise StsSyntaxError("the policy is not UTF-8") from None
    fields: dict[str, str] = {}
    patterns: list[str] = []
    for line in text.replace("\r\n", "\n").split("\n"):
        name, colon, value = line.partition(":")
        name, value = name.strip(" \t"), value.strip(" \t")
        if not colon:
            if line.strip(" \t"):
                raise StsSyntaxError("a line has no colon")
        elif name == "mx":
            patterns.append(value.lower())
        else:
            fields.setdefault(name, value)
    return _checked(fields, patterns)


def _checked(fields: dict[str, str], patterns: list[str]) -> StsPolicy:
    if fields.get("version") != "STSv1":
        raise StsSyntaxError("the version is not STSv1")
    try:
        mode = StsMode(fields.get("mode", ""))
    except ValueError:
        raise StsSyntaxError("mode is neither enforce nor testing nor none") from None
    age = fields.get("max_age", "")
    if not (age.isascii() and age.isdigit() and len(age) <= 10):
        raise StsSyntaxError("max_age is no number of seconds")
    if not all(_PATTERN.fullmatch(pattern) for pattern in patterns) or len(patterns) > MAX_PATTERNS:
        raise StsSyntaxError("mx is no host name")
    if not patterns and mode is not StsMode.NONE:
        raise StsSyntaxError("there is no mx")
    return StsPolicy(mode, tuple(pattern.rstrip(".") for pattern in patterns), min(int(age), MAX_AGE_S))


def render_policy(policy: StsPolicy) -> bytes:
    """Return the policy as a file; the inverse of ``parse_policy``."""
    lines = ["version: STSv1", f"mode: {policy.mode.value}", *(f"mx: {pattern}" for pattern in policy.patterns)]
    return "".join(f"{line}\r\n" for line in (*lines, f"max_age: {policy.max_age_s}")).encode()
