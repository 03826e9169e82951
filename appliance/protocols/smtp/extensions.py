"""Extensions of SMTP that are switched off: neither offered nor taken, as a server has it that never heard of them.

Owns their names, which are the keywords of the EHLO reply; ``EHLO`` itself; and
``AUTH=MECHANISM`` for a single mechanism.

Sources: RFC 5321 sections 2.2.1 and 4.1.1.1 (a server without extensions answers 500 or 502 to EHLO), RFC 3463 section 2, RFC 2034 section 4.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

from appliance.protocols.smtp.options import ServerOptions

__all__ = ["SWITCHES", "extension_names", "plain_replies", "switch_off"]

SWITCHES: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "EHLO": {"extended": False},
        "SIZE": {"size": False},
        "PIPELINING": {"pipelining": False},
        "STARTTLS": {"starttls": False},
        "AUTH": {"auth_mechanisms": ()},
        "ENHANCEDSTATUSCODES": {"enhanced_status": False},
        "8BITMIME": {"eight_bit": False},
        "DSN": {"dsn": False},
        "SMTPUTF8": {"smtputf8": False},
        "CHUNKING": {"chunking": False},
        "BINARYMIME": {"binarymime": False},
        "REQUIRETLS": {"requiretls": False},
        "LIMITS": {"limits": False},
        "HELP": {"help": False},
    }
)
_MECHANISM = re.compile(r"AUTH=[A-Z0-9_-]{1,20}")
_ENHANCED = re.compile(rb"^([245][0-9]{2}[ -])[245]\.[0-9]{1,3}\.[0-9]{1,3} ?", re.MULTILINE)


def extension_names(names: Iterable[str]) -> frozenset[str]:
    """Return names in capitals. Raises ValueError for one that is no extension of ours."""
    found = frozenset(name.strip().upper() for name in names if name.strip())
    unknown = sorted(name for name in found if name not in SWITCHES and not _MECHANISM.fullmatch(name))
    if unknown:
        raise ValueError(f"{unknown[0][:40]} is none of {', '.join(SWITCHES)}, AUTH=MECHANISM")
    return found


def switch_off(options: ServerOptions, names: Collection[str]) -> ServerOptions:
    """Return what is left of an offer."""
    return _switched_off(options, frozenset(names)) if names else options


@lru_cache(maxsize=64)
def _switched_off(options: ServerOptions, names: frozenset[str]) -> ServerOptions:
    mechanisms = tuple(name for name in options.auth_mechanisms if f"AUTH={name}" not in names)
    changes: dict[str, Any] = {"auth_mechanisms": mechanisms}
    for name in names & SWITCHES.keys():
        changes |= SWITCHES[name]
    return replace(options, **changes)


def plain_replies(data: bytes) -> bytes:
    """Return replies without the status codes of RFC 3463."""
    return _ENHANCED.sub(rb"\1", data)
