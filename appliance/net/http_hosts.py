"""Which names in a Host header cannot belong to a stranger: the guard against DNS rebinding.

A page elsewhere may point its own name at 127.0.0.1 and then read, as its own
origin, what a server on this machine shows. Such a name is always one that the
public DNS can answer; addresses, names without a dot (containers, machines of a
local network) and special-use domains are not.

Sources: IANA registry of special-use domain names; ``internal`` is reserved by ICANN since 2024.
"""

import re

__all__ = ["is_private_name"]

_PRIVATE_ENDS = ("localhost", "test", "local", "internal", "lan", "home.arpa", "example", "invalid")
_IPV4 = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}")


def is_private_name(host: str) -> bool:
    """Return True for a Host without port, lower case, that no public DNS answers for; also for none at all (HTTP/1.0)."""
    name = host.rstrip(".")
    if name.startswith("[") or "." not in name or _IPV4.fullmatch(name):
        return True
    return name.endswith(tuple(f".{end}" for end in _PRIVATE_ENDS))
